/** How atoms read panels and activations: a run is four columns, and a register holds one run of each of `n` rows of a panel. */
import type { AtomFormat, DotAtom } from "../../../compiler/kernel/atom.ts";
import { vector } from "../../../compiler/kernel/ir.ts";
import { panelRows, runLength } from "../../../compiler/kernel/library/panels.ts";

export type Weights = Pick<AtomFormat, "isCentred" | "load">;

/** Bytes from one run of a panel to the next. */
const runBytes = panelRows * runLength;
/** Bits that turn an unsigned byte into the signed one that is 128 less. */
const topBit = 0x80;

function counted(count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** `runs` runs of q4_0, an even number: a byte holds a column of one run in its low nibble and of the next in its high one. */
export function nibbles(n: number, runs: number): Weights {
  return {
    isCentred: false,
    load: (b, { pointer, index, offset }) =>
      counted(runs / 2).flatMap((pair) => {
        const packed = b.load(vector("i8", n * runLength), pointer, index, offset + pair * runBytes);
        return [b.and(packed, 15), b.shrU(packed, 4)];
      }),
  };
}

/** `runs` runs of q8_0 as they are. */
export function unsignedBytes(n: number, runs: number): Weights {
  return {
    isCentred: false,
    load: (b, { pointer, index, offset }) =>
      counted(runs).map((run) => b.load(vector("i8", n * runLength), pointer, index, offset + run * runBytes)),
  };
}

/** `runs` runs of q8_0 for instructions on signed bytes: with its top bit flipped a byte is signed, and its offset gone. */
export function signedBytes(n: number, runs: number): Weights {
  const unsigned = unsignedBytes(n, runs);
  return { isCentred: true, load: (b, place) => unsigned.load(b, place).map((u) => b.xor(u, topBit)) };
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
