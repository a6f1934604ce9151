/** The dot atoms of WebAssembly: how its instructions multiply a group of 8-bit activations with grouped weights. */
import { required } from "../../compiler/errors.ts";
import { tilesOf, type AtomFormat, type DotAtom, type Registers } from "../../compiler/kernel/atom.ts";
import type { KernelBuilder } from "../../compiler/kernel/builder.ts";
import { vector, type Value } from "../../compiler/kernel/ir.ts";
import { byteRuns, nibbleRuns } from "../../compiler/kernel/library/group-numbers.ts";
import { runLength } from "../../compiler/kernel/library/panels.ts";

const bytes = vector("i8", 16);
const sums = vector("i32", 4);
const evenLanes = [0, 2, 4, 6];
const oddLanes = [1, 3, 5, 7];

/**
 * Sixteen registers hold the sums of four rows by two parts, a step's weights and one row's activations; four panels by turns keep the memory busy.
 * Four parts are 5 % faster in fixed SIMD, but modules would have 127 KB in place of 99 (Xeon with AVX-VNNI, Node 26.10: decision 0014).
 */
const tiles = tilesOf([4, 1], { unpackedParts: 2, streamedPanels: 4 });

/** Bits of a nibble. */
const nibbleBits = 4;
const lowNibble = 15;

/** Rows of a register, and runs of a step. */
const rows = 4;
const runs = 2;

const loadNibbles: AtomFormat["load"] = (b, numbers, step) => nibbleRuns(b, numbers, rows, step * runs, runs);
const loadBytes: AtomFormat["load"] = (b, numbers, step) => byteRuns(numbers, rows, step * runs, runs);

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
  tile: { m: 1, n: rows, k: runs * runLength },
  tiles: { nibbles: tiles, bytes: tiles },
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
    nibbles: {
      ...pairSums,
      load: (b, numbers, step) => loadNibbles(b, numbers, step).map((run) => b.widenU(run)),
    },
    bytes: {
      ...pairSums,
      load: (b, numbers, step) => loadBytes(b, numbers, step).map((run) => b.widenU(run)),
    },
  },
};

/** One dot instruction for each register of nibbles, into the same sums. */
function nibbleSums(b: KernelBuilder, start: Value, weights: Registers, activations: Registers): Value {
  return weights.reduce((sum, w, i) => b.dotQuadsUS(sum, w, required(activations[i], "activations")), start);
}

/**
 * Of relaxed SIMD: `i32x4.relaxed_dot_i8x16_i7x16_add_s`, whose second operand has seven bits. Nibbles fit; a whole byte is 16 * high + low, two
 * planes of nibbles with sums of their own.
 */
export const relaxed: DotAtom = {
  name: "relaxed",
  tile: { m: 1, n: rows, k: runs * runLength },
  tiles: { nibbles: tiles, bytes: tiles },
  rest: null,
  loadActivations: (b, places) =>
    places.flatMap(({ pointer, index, offset }) =>
      [0, runLength].map((run) => b.bitcast(b.loadSplat(sums, pointer, index, offset + run), bytes)),
    ),
  formats: {
    nibbles: {
      isCentred: false,
      load: loadNibbles,
      start: (_, initial) => [initial],
      step: (b, [sum = b.literal(sums, 0)], activations, weights) => [nibbleSums(b, sum, weights, activations)],
      finish: (_, accumulator) => accumulator,
    },
    bytes: {
      isCentred: false,
      load: (b, numbers, step) => {
        const whole = loadBytes(b, numbers, step);
        return [...whole.map((run) => b.and(run, lowNibble)), ...whole.map((run) => b.shrU(run, nibbleBits))];
      },
      start: (_, initial) => [initial],
      step: (b, [low = b.literal(sums, 0), high = b.literal(sums, 0)], activations, weights) => [
        nibbleSums(b, low, weights.slice(0, 2), activations),
        nibbleSums(b, high, weights.slice(2), activations),
      ],
      finish: (b, [low, high]) => [b.add(required(low, "sums"), b.shl(required(high, "sums"), nibbleBits))],
    },
  },
};
