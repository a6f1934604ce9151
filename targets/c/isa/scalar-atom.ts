/**
 * The atom of portable C, in the operations on 16-bit lanes that compilers make vectors of everywhere: two lanes for each row of a panel, one
 * for columns 0 and 1 of a run and one for 2 and 3. A lane of weights holds its two columns as they lie in memory, and activations come as one
 * register for the first columns of both lanes, and one for the second.
 */
import { required } from "../../../compiler/errors.ts";
import { tilesOf, type AtomFormat, type DotAtom, type Place } from "../../../compiler/kernel/atom.ts";
import type { KernelBuilder } from "../../../compiler/kernel/builder.ts";
import { vector, type Value } from "../../../compiler/kernel/ir.ts";
import { nibbleWord } from "../../../compiler/kernel/library/group-numbers.ts";
import { panelRows, runLength } from "../../../compiler/kernel/library/panels.ts";
import { groupSize } from "../../../compiler/numeric/quantize.ts";

const sums = vector("i32", panelRows);
const lanes = vector("i16", 2 * panelRows);
/** Runs of a step. */
const runs = 2;

/** The activations of one run: columns 0 and 2, then 1 and 3, by turns. */
function activationPairs(b: KernelBuilder, { pointer, index, offset }: Place, run: number): readonly Value[] {
  const run4 = b.loadSplat(sums, pointer, index, offset + run * runLength);
  const column = (i: number): Value => b.shrS(i === 3 ? run4 : b.shl(run4, 24 - 8 * i), 24);
  const pair = (low: number, high: number): Value => b.bitcast(b.or(b.and(column(low), 0xffff), b.shl(column(high), 16)), lanes);
  return [pair(0, 2), pair(1, 3)];
}

/** The two lanes of each row, added. */
function rowSums(b: KernelBuilder, pairs: Value): Value {
  const both = b.bitcast(pairs, sums);
  return b.add(b.shrS(b.shl(both, 16), 16), b.shrS(both, 16));
}

/** total + the products of weights and activations. */
function addProducts(b: KernelBuilder, total: Value | undefined, weights: readonly Value[], activations: readonly Value[]): Value {
  const sum = weights.reduce<Value | undefined>((before, w, i) => {
    const product = b.mul(w, required(activations[i], "activations"));
    return before ? b.add(before, product) : product;
  }, total);
  return required(sum, "products");
}

/** Sixteen products of at most 15 * 127 a lane stay below 2^15. */
const ofNibbles: AtomFormat = {
  isCentred: false,
  load: (b, numbers, step) => {
    const packed = nibbleWord(b, numbers, step, lanes);
    return [packed, ...[8, 4, 12].map((bits) => b.shrU(packed, bits))].map((column) => b.and(column, 2 ** numbers.bits - 1));
  },
  step: (b, [total], activations, weights) => [addProducts(b, total, weights, activations)],
  finish: (b, [total]) => [rowSums(b, required(total, "sums"))],
};

/** Makes a signed low half of an i32 the unsigned number that is 2^15 more. */
const signOfLow = 0x8000;
const runsOfGroup = groupSize / runLength;

/**
 * Two products of at most 128 * 127 fit a lane; run by run they go on in i32, where a row's two lanes are low + 2^16 high: those are added as
 * they are, and the high halves once more, so that the end can take them off.
 */
const ofBytes: AtomFormat = {
  isCentred: true,
  load: (b, numbers, step) =>
    [0, 1].flatMap((run) => {
      const bytes = b.xor(numbers.word(step * runs + run, lanes), -0x7f80);
      return [b.shrS(b.shl(bytes, 8), 8), b.shrS(bytes, 8)];
    }),
  step: (b, [both = b.literal(sums, -signOfLow * runsOfGroup), high = b.literal(sums, 0)], activations, weights) => {
    const pairsOfRuns = [0, 2].map((run) => {
      const pairs = addProducts(b, undefined, weights.slice(run, run + 2), activations.slice(run));
      return b.bitcast(pairs, sums);
    });
    return [
      pairsOfRuns.reduce((sum, run) => b.add(sum, b.xor(run, signOfLow)), both),
      pairsOfRuns.reduce((sum, run) => b.add(sum, b.shrS(run, 16)), high),
    ];
  },
  finish: (b, [both, high]) => {
    const highSum = required(high, "sums");
    return [b.add(b.sub(required(both, "sums"), b.shl(highSum, 16)), highSum)];
  },
};

const tiles = tilesOf([2, 1]);

export const scalarAtom: DotAtom = {
  name: "scalar",
  tile: { m: 1, n: panelRows, k: runs * runLength },
  tiles: { nibbles: tiles, bytes: tiles },
  rest: null,
  loadActivations: (b, places) => places.flatMap((place) => [0, 1].flatMap((run) => activationPairs(b, place, run))),
  formats: { nibbles: ofNibbles, bytes: ofBytes },
};
