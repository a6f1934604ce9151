/** The dot atoms of WebAssembly: how its instructions multiply a group of 8-bit activations with grouped weights. */
import { required } from "../../compiler/errors.ts";
import type { AtomFormat, DotAtom } from "../../compiler/kernel/atom.ts";
import { vector } from "../../compiler/kernel/ir.ts";
import { panelRows, runLength } from "../../compiler/kernel/library/panels.ts";

const bytes = vector("i8", 16);
const evenLanes = [0, 2, 4, 6];
const oddLanes = [1, 3, 5, 7];

/**
 * Of fixed SIMD: weights widened to 16 bits, `i32x4.dot_i16x8_s`. A row's four products of a run arrive as two pair sums, which stay
 * apart (in an i32x8 for four rows) until the group's end: folding once a group is twice as fast as folding every step.
 */
const pairSums: Omit<AtomFormat, "load"> = {
  isCentred: false,
  step: (b, accumulator, activations, weights) => {
    const products = weights.map((w, i) => b.dotPairs(w, required(activations[i], "activations")));
    return [[...accumulator, ...products].reduce((sum, product) => b.add(sum, product))];
  },
  finish: (b, accumulator) => {
    const sums = b.concat(...accumulator);
    return [b.add(b.shuffle(sums, evenLanes), b.shuffle(sums, oddLanes))];
  },
};

export const simd128: DotAtom = {
  name: "simd128",
  tile: { m: 1, n: 4, k: 8 },
  rowsPerTile: [4, 2, 1],
  rest: null,
  // Runs 2j and 2j+1, each of four activations as 16-bit numbers, twice over (for two rows), in both halves (for four).
  loadActivations: (b, places) =>
    places.flatMap(({ pointer, index, offset }) =>
      [0, runLength].map((run) => {
        const splat = b.bitcast(b.loadSplat(vector("i32", 4), pointer, index, offset + run), bytes);
        const pair = b.widenS(b.part(splat, 0, 8));
        return b.concat(pair, pair);
      }),
    ),
  formats: {
    q4_0: {
      ...pairSums,
      load: (b, { pointer, index, offset }) => {
        const packed = b.load(bytes, pointer, index, offset);
        return [b.widenU(b.and(packed, 15)), b.widenU(b.shrU(packed, 4))];
      },
    },
    q8_0: {
      ...pairSums,
      load: (b, { pointer, index, offset }) =>
        [0, panelRows * runLength].map((run) => b.widenU(b.load(bytes, pointer, index, offset + run))),
    },
  },
};
