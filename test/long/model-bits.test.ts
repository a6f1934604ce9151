/** All of what test/model/bits has a covering set of: every format with every golden case, and with English. */
import { declareModelBits } from "../model/bits-suite.ts";
import { workFolder } from "../model/support.ts";

declareModelBits(await workFolder(), "all");
