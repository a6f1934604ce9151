/** All of the compilers' flags of which test/bits has a covering set. */
import { declareGuards } from "../bits/guards-suite.ts";
import { workFolder } from "../model/support.ts";

declareGuards(await workFolder(), "all");
