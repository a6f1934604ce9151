/** The atom of machines that add four byte products to a lane in one instruction: `n` rows of a panel a register. */
import { required } from "../../../compiler/errors.ts";
import type { AtomFormat, DotAtom, TileShape } from "../../../compiler/kernel/atom.ts";
import { vector } from "../../../compiler/kernel/ir.ts";
import { runLength } from "../../../compiler/kernel/library/panels.ts";
import { nibbles, signedBytes, splatRuns, unsignedBytes } from "./panel-runs.ts";

export interface QuadAtomSpec {
  readonly name: string;
  /** Rows of a panel that a register of sums holds. */
  readonly n: number;
  /** Runs of four columns that a step covers. */
  readonly runs?: number;
  /** Of nibbles and bytes, best first. */
  readonly tiles: readonly TileShape[];
  /** What the instruction takes for weights. */
  readonly weights: "unsigned" | "signed";
  readonly loadActivations?: DotAtom["loadActivations"];
}

export function quadAtom({ name, n, runs = 2, tiles, weights: signs, loadActivations }: QuadAtomSpec): DotAtom {
  const products: Pick<AtomFormat, "start" | "step" | "finish"> = {
    start: (_, initial) => [initial],
    step: (b, [sum = b.literal(vector("i32", n), 0)], activations, weights) => [
      weights.reduce((total, w, i) => {
        const x = required(activations[i], "activations");
        return signs === "unsigned" ? b.dotQuadsUS(total, w, x) : b.dotQuadsSS(total, w, x);
      }, sum),
    ],
    finish: (_, accumulator) => accumulator,
  };
  const bytes = signs === "unsigned" ? unsignedBytes(n, runs) : signedBytes(n, runs);
  return {
    name,
    tile: { m: 1, n, k: runs * runLength },
    tiles: { nibbles: tiles, bytes: tiles },
    rest: null,
    loadActivations: loadActivations ?? splatRuns(n, runs),
    formats: { nibbles: { ...nibbles(n, runs), ...products }, bytes: { ...bytes, ...products } },
  };
}
