/** The registry of graph ops: adding one is a file in ops/ and a row here. */
import { LfmcError } from "../errors.ts";
import { add } from "./ops/add.ts";
import { attention } from "./ops/attention.ts";
import { embedding } from "./ops/embedding.ts";
import { experts } from "./ops/experts.ts";
import { gatedLinear } from "./ops/gated-linear.ts";
import { gatedShortConv } from "./ops/gated-short-conv.ts";
import { linear } from "./ops/linear.ts";
import type { OpDefinition } from "./ops/op.ts";
import { quantize } from "./ops/quantize.ts";
import { rmsNorm } from "./ops/rms-norm.ts";
import { rope } from "./ops/rope.ts";
import { router } from "./ops/router.ts";
import { selectRows } from "./ops/select-rows.ts";
import { shortConv } from "./ops/short-conv.ts";
import { slice } from "./ops/slice.ts";
import { swiglu } from "./ops/swiglu.ts";

export const ops: readonly OpDefinition[] = [
  embedding,
  rmsNorm,
  quantize,
  linear,
  slice,
  swiglu,
  gatedLinear,
  shortConv,
  gatedShortConv,
  rope,
  attention,
  router,
  experts,
  add,
  selectRows,
];

const byName: ReadonlyMap<string, OpDefinition> = new Map(ops.map((op) => [op.name, op]));

/** The op of this name. Throws graph/invalid, about `subject`, where there is none. */
export function opNamed(name: string, subject: string): OpDefinition {
  const op = byName.get(name);
  if (!op) throw new LfmcError("graph/invalid", `unknown op ${JSON.stringify(name)}`, { subject, hint: "graph/README.md lists the ops" });
  return op;
}
