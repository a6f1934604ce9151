/**
 * The bytes of a module's data segment, put into the finished binary: binaryen, which writes byte by byte and holds several copies, sees the
 * segment empty.
 */
import { internal } from "../../compiler/errors.ts";

const dataSection = 11;
/** Of the sections: "\0asm" and the version. */
const firstSection = 8;
/** One segment, which is passive. */
const passiveSegment = [1, 1] as const;

/** The file of the module `binary`, whose data section holds one passive segment, with `data` in that: pieces that follow one another. */
export function withData(binary: Uint8Array, data: Uint8Array): readonly Uint8Array[] {
  const { start, end } = findDataSection(binary);
  const segment = [...passiveSegment, ...leb128(data.length)];
  const section = [dataSection, ...leb128(segment.length + data.length), ...segment];
  return [binary.subarray(0, start), Uint8Array.from(section), data, binary.subarray(end)];
}

/** Where the data section begins, its id included, and where it ends. */
function findDataSection(binary: Uint8Array): { readonly start: number; readonly end: number } {
  for (let start = firstSection; start < binary.length;) {
    const { value: size, next } = readLeb128(binary, start + 1);
    if (binary[start] === dataSection) return { start, end: next + size };
    start = next + size;
  }
  return internal("the module has no data section");
}

/** An unsigned number below 2^32, seven bits a byte, the lowest first. */
function leb128(value: number): readonly number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb128(value >>> 7)];
}

function readLeb128(bytes: Uint8Array, at: number): { readonly value: number; readonly next: number } {
  const byte = bytes[at] ?? internal("the module ends in the middle of a number");
  if (byte < 128) return { value: byte, next: at + 1 };
  const { value, next } = readLeb128(bytes, at + 1);
  return { value: (byte & 127) + 128 * value, next };
}
