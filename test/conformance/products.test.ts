/** Products against the kernel interpreter, bit for bit. */

import { products } from "./kernels.ts";
import { declareConformance } from "./suite.ts";

declareConformance(products);
