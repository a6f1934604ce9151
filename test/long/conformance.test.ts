/** All cases of the targets that `npm test` holds to the kernel interpreter on a sample. */
import { others, products } from "../conformance/kernels.ts";
import { declareConformance } from "../conformance/suite.ts";
import { runnable } from "../conformance/targets.ts";

declareConformance(
  { ...products, ...others },
  runnable.filter(({ enough }) => enough !== "all"),
  "all",
);
