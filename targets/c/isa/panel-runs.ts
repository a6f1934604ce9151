/** How atoms read panels and activations: a run is four columns, and a register holds one run of each of `n` rows of a panel. */
import type { AtomFormat, DotAtom } from "../../../compiler/kernel/atom.ts";
import { vector } from "../../../compiler/kernel/ir.ts";
import { byteRuns, nibbleRuns } from "../../../compiler/kernel/library/group-numbers.ts";
import { runLength } from "../../../compiler/kernel/library/panels.ts";

export type Weights = Pick<AtomFormat, "isCentred" | "load">;

/** Bits that turn an unsigned byte into the signed one that is 128 less. */
const topBit = 0x80;

function counted(count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** `runs` runs a step, an even number, of numbers of at most four bits. */
export function nibbles(n: number, runs: number): Weights {
  return { isCentred: false, load: (b, numbers, step) => nibbleRuns(b, numbers, n, step * runs, runs) };
}

/** `runs` runs a step of bytes as they are. */
export function unsignedBytes(n: number, runs: number): Weights {
  return { isCentred: false, load: (_, numbers, step) => byteRuns(numbers, n, step * runs, runs) };
}

/** The same for instructions on signed bytes: with its top bit flipped a byte is signed, and its offset gone. */
export function signedBytes(n: number, runs: number): Weights {
  const unsigned = unsignedBytes(n, runs);
  return { isCentred: true, load: (b, numbers, step) => unsigned.load(b, numbers, step).map((u) => b.xor(u, topBit)) };
}

/** `runs` registers for each row of activations: a run, the same for all rows of the panel. */
export function splatRuns(n: number, runs: number): DotAtom["loadActivations"] {
  return (b, places) =>
    places.flatMap(({ pointer, index, offset }) =>
      counted(runs).map((run) =>
        b.bitcast(b.loadSplat(vector("i32", n), pointer, index, offset + run * runLength), vector("i8", n * runLength)),
      ),
    );
}
