/** Weights as the bytes of a GGUF file: groups become ggml's blocks, floats little-endian numbers. */
import { LfmcError, required } from "../errors.ts";
import type { Encoding } from "../graph/types.ts";
import { blockTypeNamed, rowBytes, type BlockType } from "../import/gguf/blocks.ts";
import { f16Max, f32ToBf16, f32ToF16 } from "../numeric/half.ts";
import { groupSize } from "../numeric/quantize.ts";
import type { GroupFormatName, Groups } from "../numeric/weight-groups.ts";

/** What has three bits has a scale as Q4_0 has it, and a smaller range. */
const typeNames: Readonly<Partial<Record<Encoding, string>>> = {
  f32: "F32",
  f16: "F16",
  bf16: "BF16",
  q4_0: "Q4_0",
  q4_1: "Q4_1",
  q3_0: "Q4_0",
  q8_0: "Q8_0",
};

/** The type that holds an encoding's numbers. */
export function typeOf(encoding: Encoding): BlockType {
  return required(blockTypeNamed(typeNames[encoding] ?? ""), `GGUF type for ${encoding}`);
}

/** Writes the numbers of the group u[from…] into a block behind its scales. */
type BlockWriter = (u: Uint8Array, from: number, target: Uint8Array, at: number) => void;

const writers: Readonly<Record<GroupFormatName, BlockWriter>> = {
  q4_0: nibbles(0),
  q4_1: nibbles(0),
  // w = d * (u - 4) = d * ((u + 4) - 8)
  q3_0: nibbles(4),
  // Signed bytes.
  q8_0: (u, from, target, at) => {
    for (let i = 0; i < groupSize; i++) target[at + i] = (u[from + i] ?? 0) - 128;
  },
};

/** Byte i holds the numbers i and i + 16. */
function nibbles(shift: number): BlockWriter {
  const half = groupSize / 2;
  return (u, from, target, at) => {
    for (let i = 0; i < half; i++) target[at + i] = ((u[from + i] ?? 0) + shift) | (((u[from + i + half] ?? 0) + shift) << 4);
  };
}

/**
 * Rows of `width` weights, whole groups, as ggml's blocks of their format. Scales become f16, subnormal ones as ggml has them; one beyond
 * its range throws weights/value, naming `tensor`.
 */
export function blocksOf(format: GroupFormatName, groups: Groups, width: number, tensor: string): Uint8Array {
  const { rows, columns, u, scales, minimums } = groups;
  const type = typeOf(format);
  const write = writers[format];
  const result = new Uint8Array(rows * rowBytes(type, width));
  const view = new DataView(result.buffer);
  const halves = minimums ? [scales, minimums] : [scales];
  let at = 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < width; column += groupSize) {
      const start = row * columns + column;
      halves.forEach((values, i) => {
        view.setUint16(at + 2 * i, halfOf(values[start / groupSize] ?? 0, tensor), true);
      });
      write(u, start, result, at + 2 * halves.length);
      at += type.bytes;
    }
  }
  return result;
}

/** Halfway to what would follow the largest f16. */
const tooLarge = f16Max + 16;

function halfOf(scale: number, tensor: string): number {
  if (Math.abs(scale) < tooLarge) return f32ToF16(scale);
  throw new LfmcError("weights/value", `has a scale of ${scale}, and those of a GGUF file are f16`, {
    subject: tensor,
    hint: "export it as f32: --tensor-type 'GLOB=f32'",
  });
}

/** Numbers as they are, or rounded to 16 bits. */
export function floatBytes(encoding: FloatEncoding, values: Float32Array): Uint8Array {
  if (encoding === "f32") return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const round = encoding === "f16" ? f32ToF16 : f32ToBf16;
  return new Uint8Array(Uint16Array.from(values, round).buffer);
}

export type FloatEncoding = "f32" | "f16" | "bf16";

/** Whether an encoding has single numbers rather than groups. */
export function isFloat(encoding: Encoding): encoding is FloatEncoding {
  return encoding === "f32" || encoding === "f16" || encoding === "bf16";
}
