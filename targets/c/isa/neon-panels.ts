/** How NEON atoms read panels and activations: sixteen columns a step, four rows of a panel a register. */
import type { KernelBuilder } from "../../../compiler/kernel/builder.ts";
import { vector, type Value } from "../../../compiler/kernel/ir.ts";
import type { AtomFormat, Place } from "../../../compiler/kernel/atom.ts";
import { panelRows, runLength } from "../../../compiler/kernel/library/panels.ts";
import { registerBytes } from "./neon-registers.ts";

/** Rows of a panel whose runs fill a register. */
export const rowsPerRegister = registerBytes / runLength;
/** Columns of a step: a register of activations. */
export const stepColumns = registerBytes;

export const bytes = vector("i8", registerBytes);
/** One sum a row, or one run a lane. */
export const words = vector("i32", rowsPerRegister);

const runBytes = panelRows * runLength;
const runs = [0, 1, 2, 3] as const;
/** Bits that turn an unsigned byte into the signed one that is 128 less. */
const topBit = 0x80;

type Weights = Pick<AtomFormat, "isCentred" | "load">;

/** Four runs of q4_0, a register each. */
export const nibbles: Weights = {
  isCentred: false,
  load: (b, { pointer, index, offset }) =>
    [0, runBytes].flatMap((pair) => {
      const packed = b.load(bytes, pointer, index, offset + pair);
      return [b.and(packed, 15), b.shrU(packed, 4)];
    }),
};

/** Four runs of q8_0: with its top bit flipped a byte is signed, and its offset gone. */
export const signedBytes: Weights = {
  isCentred: true,
  load: (b, { pointer, index, offset }) => runs.map((run) => b.xor(b.load(bytes, pointer, index, offset + run * runBytes), topBit)),
};

/** The activations of a step as a register of four runs. */
export function loadRuns(b: KernelBuilder, { pointer, index, offset }: Place): Value {
  return b.load(words, pointer, index, offset);
}

/** Four registers: each run the same for all rows of the panel. */
export function splatRuns(b: KernelBuilder, places: readonly Place[]): readonly Value[] {
  return places.flatMap((place) => {
    const all = loadRuns(b, place);
    return runs.map((run) => b.bitcast(b.shuffle(all, [run, run, run, run]), bytes));
  });
}
