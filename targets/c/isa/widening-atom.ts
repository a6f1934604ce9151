/** The atom of machines that multiply bytes to 16 bits at best: products of a group are added in i16 as far as they surely fit. */
import { required } from "../../../compiler/errors.ts";
import type { AtomFormat, DotAtom } from "../../../compiler/kernel/atom.ts";
import type { KernelBuilder } from "../../../compiler/kernel/builder.ts";
import { vector, type Value } from "../../../compiler/kernel/ir.ts";
import { panelRows, runLength } from "../../../compiler/kernel/library/panels.ts";

/** Bits that turn an unsigned byte into the signed one that is 128 less. */
const topBit = 0x80;

/** `n`: rows of a panel that are multiplied together. */
export function wideningAtom({ name, n }: { readonly name: string; readonly n: number }): DotAtom {
  const [bytes, sums] = [vector("i8", n * runLength), vector("i32", n)];
  // Eight products of at most 15 * 127 a lane, then two lanes added, are below 2^15.
  const q4: AtomFormat = {
    isCentred: false,
    load: (b, { pointer, index, offset }) => {
      const packed = b.load(bytes, pointer, index, offset);
      return [b.and(packed, 15), b.shrU(packed, 4)];
    },
    step: (b, [total], activations, weights) => [addProducts(b, total, weights, activations)],
    finish: (b, [total]) => [b.addPairs(b.literal(sums, 0), addNeighbours(b, required(total, "sums")))],
  };
  // Two products of at most 128 * 127 fit in i16; their sums go on in i32, as pairs until the group's end.
  const q8: AtomFormat = {
    isCentred: true,
    load: (b, { pointer, index, offset }) =>
      [0, panelRows * runLength].map((run) => b.xor(b.load(bytes, pointer, index, offset + run), topBit)),
    step: (b, [pairs = b.literal(vector("i32", 2 * n), 0)], activations, weights) => [
      b.addPairs(pairs, addProducts(b, undefined, weights, activations)),
    ],
    finish: (b, [pairs]) => [addNeighbours(b, required(pairs, "sums"))],
  };
  return {
    name,
    tile: { m: 1, n, k: 2 * runLength },
    rowsPerTile: [2, 1],
    rest: null,
    loadActivations: (b, places) =>
      places.flatMap(({ pointer, index, offset }) =>
        [0, runLength].map((run) => b.bitcast(b.loadSplat(sums, pointer, index, offset + run), bytes)),
      ),
    formats: { q4_0: q4, q8_0: q8 },
  };
}

/** total + the products of each weight register with its activations, as i16. */
function addProducts(b: KernelBuilder, total: Value | undefined, weights: readonly Value[], activations: readonly Value[]): Value {
  const products = weights.map((w, i) => b.mulWiden(w, required(activations[i], "activations")));
  return [...(total ? [total] : []), ...products].reduce((sum, product) => b.add(sum, product));
}

/** Even lanes and odd lanes, added. */
function addNeighbours(b: KernelBuilder, x: Value): Value {
  const even = Array.from({ length: x.type.lanes / 2 }, (_, i) => 2 * i);
  const odd = even.map((lane) => lane + 1);
  return b.add(b.shuffle(x, even), b.shuffle(x, odd));
}
