/** C compilers' flags that would change bits, as far as `npm test` has the time. */
import { workFolder } from "../model/support.ts";
import { declareGuards } from "./guards-suite.ts";

declareGuards(await workFolder(), "enough");
