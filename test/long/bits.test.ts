/** All of what test/bits has a covering set of: every case with every build. */
import { declareBits } from "../bits/suite.ts";
import { workFolder } from "../model/support.ts";

declareBits(await workFolder(), "all");
