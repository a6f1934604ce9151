/** The atom of machines that multiply bytes to 16 bits at best: products of a group are added in i16 as far as they surely fit. */
import { required } from "../../../compiler/errors.ts";
import { tilesOf, type AtomFormat, type DotAtom } from "../../../compiler/kernel/atom.ts";
import type { KernelBuilder } from "../../../compiler/kernel/builder.ts";
import { vector, type Value } from "../../../compiler/kernel/ir.ts";
import { runLength } from "../../../compiler/kernel/library/panels.ts";
import { nibbles, signedBytes, splatRuns } from "./panel-runs.ts";

export interface WideningAtomSpec {
  readonly name: string;
  /** Rows of a panel that are multiplied together. */
  readonly n: number;
  /** Runs of four columns that a step covers. */
  readonly runs?: number;
  readonly loadActivations?: DotAtom["loadActivations"];
}

export function wideningAtom({ name, n, runs = 2, loadActivations }: WideningAtomSpec): DotAtom {
  const tiles = tilesOf([2, 1]);
  // Eight products of at most 15 * 127 a lane, then two lanes added, are below 2^15.
  const ofNibbles: Pick<AtomFormat, "step" | "finish"> = {
    step: (b, [total], activations, weights) => [addProducts(b, total, weights, activations)],
    finish: (b, [total]) => [b.addPairs(b.literal(vector("i32", n), 0), addNeighbours(b, required(total, "sums")))],
  };
  // Two products of at most 128 * 127 fit in i16; their sums go on in i32, as pairs until the group's end.
  const ofBytes: Pick<AtomFormat, "step" | "finish"> = {
    step: (b, [pairs = b.literal(vector("i32", 2 * n), 0)], activations, weights) => {
      let sum = pairs;
      for (let run = 0; run < runs; run += 2) {
        sum = b.addPairs(sum, addProducts(b, undefined, weights.slice(run, run + 2), activations.slice(run)));
      }
      return [sum];
    },
    finish: (b, [pairs]) => [addNeighbours(b, required(pairs, "sums"))],
  };
  return {
    name,
    tile: { m: 1, n, k: runs * runLength },
    tiles: { nibbles: tiles, bytes: tiles },
    rest: null,
    loadActivations: loadActivations ?? splatRuns(n, runs),
    formats: { nibbles: { ...nibbles(n, runs), ...ofNibbles }, bytes: { ...signedBytes(n, runs), ...ofBytes } },
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
