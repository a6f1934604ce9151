/** Modules against the graph interpreter, bit for bit: every format, every golden case, and English. */
import { declareModelBits } from "./bits-suite.ts";
import { workFolder } from "./support.ts";

declareModelBits(await workFolder(), "enough");
