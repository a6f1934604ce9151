/** The refusal of graphs that hold an op without a kernel. */
import { LfmcError, required } from "../errors.ts";
import type { Node } from "../graph/types.ts";

/** The error `plan/unsupported`, naming the node's output. */
export function noKernelFor({ op, outputs }: Node): LfmcError {
  return new LfmcError("plan/unsupported", `no kernel for ${op} in this version`, {
    subject: required(outputs[0], "output"),
    hint: "dense LFM2 models compile; mixture-of-experts models run in the interpreter (lfmc forward <model>)",
  });
}
