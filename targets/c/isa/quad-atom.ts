/** The atom of machines that add four byte products to a lane in one instruction: `n` rows of a panel a register, eight columns a step. */
import { required } from "../../../compiler/errors.ts";
import type { AtomFormat, DotAtom } from "../../../compiler/kernel/atom.ts";
import type { KernelBuilder } from "../../../compiler/kernel/builder.ts";
import { vector, type Value } from "../../../compiler/kernel/ir.ts";
import { panelRows, runLength } from "../../../compiler/kernel/library/panels.ts";

export interface QuadAtomSpec {
  readonly name: string;
  /** Rows of a panel that a register of sums holds. */
  readonly n: number;
  readonly rowsPerTile: readonly number[];
  /** Whether the instruction takes unsigned weights; where both operands are signed, the top bit of a byte is flipped and its offset is gone. */
  readonly weights: "unsigned" | "signed";
}

/** Bits that turn an unsigned byte into the signed one that is 128 less. */
const topBit = 0x80;

export function quadAtom({ name, n, rowsPerTile, weights: signs }: QuadAtomSpec): DotAtom {
  const [bytes, sums] = [vector("i8", n * runLength), vector("i32", n)];
  const dot = (b: KernelBuilder, sum: Value, w: Value, x: Value): Value =>
    signs === "unsigned" ? b.dotQuadsUS(sum, w, x) : b.dotQuadsSS(sum, w, x);
  const common: Omit<AtomFormat, "isCentred" | "load"> = {
    step: (b, [sum = b.literal(sums, 0)], activations, weights) => [
      weights.reduce((total, w, i) => dot(b, total, w, required(activations[i], "activations")), sum),
    ],
    finish: (_, accumulator) => accumulator,
  };
  return {
    name,
    tile: { m: 1, n, k: 2 * runLength },
    rowsPerTile,
    rest: null,
    // Two runs of four activations, each the same for all rows of the panel.
    loadActivations: (b, places) =>
      places.flatMap(({ pointer, index, offset }) =>
        [0, runLength].map((run) => b.bitcast(b.loadSplat(sums, pointer, index, offset + run), bytes)),
      ),
    formats: {
      q4_0: {
        ...common,
        isCentred: false,
        load: (b, { pointer, index, offset }) => {
          const packed = b.load(bytes, pointer, index, offset);
          return [b.and(packed, 15), b.shrU(packed, 4)];
        },
      },
      q8_0: {
        ...common,
        isCentred: signs === "signed",
        load: (b, { pointer, index, offset }) =>
          [0, panelRows * runLength].map((run) => {
            const u = b.load(bytes, pointer, index, offset + run);
            return signs === "signed" ? b.xor(u, topBit) : u;
          }),
      },
    },
  };
}
