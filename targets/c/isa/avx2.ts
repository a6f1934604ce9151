/** AVX2: 8 x 8-bit products by `maddubs`, whose 16-bit pair sums saturate; with nibbles for weights they cannot. */
import { required } from "../../../compiler/errors.ts";
import { tilesOf, type AtomFormat, type DotAtom, type Registers } from "../../../compiler/kernel/atom.ts";
import type { KernelBuilder } from "../../../compiler/kernel/builder.ts";
import { vector, type Value } from "../../../compiler/kernel/ir.ts";
import { runLength } from "../../../compiler/kernel/library/panels.ts";
import type { Isa } from "./isa.ts";
import { nibbles, splatRuns, unsignedBytes } from "./panel-runs.ts";
import { x86 } from "./x86.ts";

/** Rows of a panel that a register holds, and runs of columns a step. */
const rows = 8;
const runs = 2;
const planes = unsignedBytes(rows, runs);
const pairs = vector("i16", rows * 2);
/** Measured on a Xeon with AVX-VNNI, gcc 12.2 (decision 0014). */
const tiles = tilesOf([4, 2, 1], { unpackedParts: 1 });

/** sum + w * x in pairs; 15 * 127 * 2 a pair and 8 pairs a group stay below 2^15. */
function addPairs(b: KernelBuilder, sum: Value | undefined, w: Value, x: Value): Value {
  const products = b.dotPairsUS(w, x);
  return sum ? b.add(sum, products) : products;
}

/** Pair sums times `factor`, folded to one sum a row. */
function fold(b: KernelBuilder, sums: Value, factor: number): Value {
  return b.dotPairs(sums, b.literal(pairs, factor));
}

const ofNibbles: AtomFormat = {
  ...nibbles(rows, runs),
  step: (b, accumulator, activations, weights) => [
    required(
      weights.reduce<Value | undefined>((sum, w, i) => addPairs(b, sum, w, required(activations[i], "activations")), accumulator[0]),
      "sum",
    ),
  ],
  finish: (b, [sums]) => [fold(b, required(sums, "sums"), 1)],
};

/** A byte is two nibbles, 16 * high + low: their sums stay apart until the group's end. */
const ofBytes: AtomFormat = {
  isCentred: false,
  load: (b, numbers, step) => planes.load(b, numbers, step).flatMap((u) => [b.and(u, 15), b.shrU(u, 4)]),
  step: (b, accumulator, activations, weights) =>
    weights.reduce<Registers>((sums, w, i) => {
      const plane = i % 2;
      const sum = addPairs(b, sums[plane], w, required(activations[i >> 1], "activations"));
      return plane === 0 ? [sum, ...sums.slice(1)] : [...sums.slice(0, 1), sum];
    }, accumulator),
  finish: (b, [low, high]) => [b.add(fold(b, required(low, "sums"), 1), fold(b, required(high, "sums"), 16))],
};

const maddubs: DotAtom = {
  name: "avx2",
  tile: { m: 1, n: rows, k: runs * runLength },
  tiles: { nibbles: tiles, bytes: tiles },
  rest: null,
  loadActivations: splatRuns(rows, runs),
  formats: { nibbles: ofNibbles, bytes: ofBytes },
};

export const avx2: Isa = { ...x86, name: "avx2", targets: ["avx2"], registers: [16, 32], atoms: [maddubs] };
