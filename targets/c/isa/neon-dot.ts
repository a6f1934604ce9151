/** AArch64 with dot products: four products of signed bytes a lane in one instruction (sdot). */
import { required } from "../../../compiler/errors.ts";
import type { AtomFormat, DotAtom } from "../../../compiler/kernel/atom.ts";
import type { Isa } from "./isa.ts";
import { base } from "./neon.ts";
import { nibbles, rowsPerRegister, signedBytes, splatRuns, stepColumns, words } from "./neon-panels.ts";
import { intrinsic } from "./neon-rows.ts";

const products: Pick<AtomFormat, "step" | "finish"> = {
  step: (b, [sum = b.literal(words, 0)], activations, weights) => [
    weights.reduce((total, w, i) => b.dotQuadsSS(total, w, required(activations[i], "activations")), sum),
  ],
  finish: (_, accumulator) => accumulator,
};

/** Also multiplies the single rows of wider sets. */
export const sdot: DotAtom = {
  name: "neon_dot",
  tile: { m: 1, n: rowsPerRegister, k: stepColumns },
  rowsPerTile: [4, 2, 1],
  rest: null,
  loadActivations: splatRuns,
  formats: { q4_0: { ...nibbles, ...products }, q8_0: { ...signedBytes, ...products } },
};

export const dotRows: Isa["byRegister"] = { ...base.byRegister, dotQuadsSS: intrinsic("vdot") };

export const neonDot: Isa = { ...base, name: "neon-dot", targets: ["dotprod"], byRegister: dotRows, atoms: [sdot] };
