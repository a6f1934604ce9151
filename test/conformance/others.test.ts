/** Others against the kernel interpreter, bit for bit. */

import { others } from "./kernels.ts";
import { declareConformance } from "./suite.ts";

declareConformance(others);
