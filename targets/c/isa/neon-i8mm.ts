/** AArch64 with matrix products: two rows of activations times two rows of weights, eight columns deep, in one instruction (smmla). */
import { required } from "../../../compiler/errors.ts";
import { tilesOf, type AtomFormat, type DotAtom } from "../../../compiler/kernel/atom.ts";
import type { KernelBuilder } from "../../../compiler/kernel/builder.ts";
import type { Value } from "../../../compiler/kernel/ir.ts";
import type { Isa } from "./isa.ts";
import { base } from "./neon.ts";
import { dotRows, sdot } from "./neon-dot.ts";
import { bytes, loadRuns, rowsPerRegister, runsPerRegister, words } from "./neon-activations.ts";
import { registerBytes } from "./neon-registers.ts";
import { nibbles, signedBytes, type Weights } from "./panel-runs.ts";

/** Four lanes of each operand: the low halves of both, then the high halves of both. */
const halves = [
  [0, 1, 4, 5],
  [2, 3, 6, 7],
] as const;
/** The lanes of both by turns. */
const byTurns = [
  [0, 4, 1, 5],
  [2, 6, 3, 7],
] as const;

function shuffled(b: KernelBuilder, first: Value, second: Value, orders: typeof halves | typeof byTurns): readonly Value[] {
  return orders.map((lanes) => b.op("shuffle", [first, second], lanes));
}

/** Registers of four rows' runs as rows of eight columns: for each pair of runs, rows 0 and 1, and rows 2 and 3. */
function rowsOfRuns(b: KernelBuilder, runs: readonly Value[]): readonly Value[] {
  const lanes = runs.map((run) => b.bitcast(run, words));
  const pairs = [0, 2].flatMap((i) => shuffled(b, required(lanes[i], "run"), required(lanes[i + 1], "run"), byTurns));
  return pairs.map((rows) => b.bitcast(rows, bytes));
}

/** The weights as an operand, and what becomes of them: both rows of activations by rows 0 and 1, and by rows 2 and 3. */
function multiplied(weights: Weights): AtomFormat {
  return {
    isCentred: weights.isCentred,
    load: (b, numbers, step) => rowsOfRuns(b, weights.load(b, numbers, step)),
    step: (b, accumulator, activations, rows) =>
      [0, 1].map((pair) =>
        activations.reduce(
          (sum, x, i) => b.dotMatrix(sum, x, required(rows[2 * i + pair], "weights")),
          accumulator[pair] ?? b.literal(words, 0),
        ),
      ),
    finish: (b, [low, high]) => shuffled(b, required(low, "sums"), required(high, "sums"), halves),
  };
}

const tiles = tilesOf([4, 2]);

const smmla: DotAtom = {
  name: "neon_i8mm",
  tile: { m: 2, n: rowsPerRegister, k: registerBytes },
  tiles: { nibbles: tiles, bytes: tiles },
  rest: sdot,
  // Eight columns of both rows, then the next eight.
  loadActivations: (b, places) => {
    const [first, second] = places.map((place) => loadRuns(b, place));
    return shuffled(b, required(first, "row"), required(second, "row"), halves).map((rows) => b.bitcast(rows, bytes));
  },
  formats: {
    nibbles: multiplied(nibbles(rowsPerRegister, runsPerRegister)),
    bytes: multiplied(signedBytes(rowsPerRegister, runsPerRegister)),
  },
};

export const neonI8mm: Isa = {
  ...base,
  name: "neon-i8mm",
  targets: ["dotprod", "i8mm"],
  byRegister: { ...dotRows, dotMatrix: ({ args }) => `vmmlaq_s32(${args.join(", ")})` },
  atoms: [smmla],
};
