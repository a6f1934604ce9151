/** AArch64 with dot products: four products of signed bytes a lane in one instruction (sdot). */
import { tilesOf } from "../../../compiler/kernel/atom.ts";
import type { Isa } from "./isa.ts";
import { base } from "./neon.ts";
import { rowsPerRegister, runsPerRegister, splatLoadedRuns } from "./neon-activations.ts";
import { intrinsic } from "./neon-rows.ts";
import { quadAtom } from "./quad-atom.ts";

/** Also multiplies the single rows of wider sets. */
export const sdot = quadAtom({
  name: "neon_dot",
  n: rowsPerRegister,
  runs: runsPerRegister,
  tiles: tilesOf([4, 2, 1]),
  weights: "signed",
  loadActivations: splatLoadedRuns,
});

export const dotRows: Isa["byRegister"] = { ...base.byRegister, dotQuadsSS: intrinsic("vdot") };

export const neonDot: Isa = { ...base, name: "neon-dot", targets: ["dotprod"], byRegister: dotRows, atoms: [sdot] };
