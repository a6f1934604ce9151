/** Reading ranges of checkpoint files: bytes, and floats of the stored types, through a buffer of a few MB whatever the range. */
import type { FileHandle } from "node:fs/promises";
import { LfmcError } from "../errors.ts";
import { decodeBf16, decodeF16, firstNotFinite } from "./decode.ts";
import { rowShape, type FloatType, type TensorInfo } from "./weight-store.ts";

/** Elements converted at a time. */
const pieceLength = 1 << 20;

/** A file that is open, and what it is called in errors. */
export interface OpenFile {
  readonly path: string;
  readonly handle: FileHandle;
}

/** Fills `target` from byte `position` on. Throws io/unreadable where the file ends early. */
export async function readExactly({ handle, path }: OpenFile, target: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < target.length;) {
    const { bytesRead } = await handle.read(target, done, target.length - done, position + done);
    if (bytesRead === 0) {
      const fact = `ends at byte ${position + done}, sooner than when it was opened`;
      throw new LfmcError("io/unreadable", fact, { subject: path, hint: "did something change the file meanwhile?" });
    }
    done += bytesRead;
  }
}

/** Bytes of one element. */
export function floatBytes(type: FloatType): number {
  return type === "F32" ? 4 : 2;
}

/** `length` elements of a type from byte `position` on, as f32, and the first of them that is not finite, or -1; io/unreadable. */
export async function readFloats(
  file: OpenFile,
  type: FloatType,
  position: number,
  length: number,
): Promise<{ readonly values: Float32Array; readonly bad: number }> {
  const values = new Float32Array(length);
  const scratch = new Uint16Array(type === "F32" ? 0 : Math.min(pieceLength, length));
  for (let at = 0; at < length; at += pieceLength) {
    const piece = new Uint32Array(values.buffer, at * 4, Math.min(pieceLength, length - at));
    const bad = await readPiece(file, type, position + at * floatBytes(type), piece, scratch);
    if (bad >= 0) return { values, bad: at + bad };
  }
  return { values, bad: -1 };
}

/** Fills `piece` with the bits of consecutive elements; returns the first that is not finite, or -1. */
async function readPiece(file: OpenFile, type: FloatType, position: number, piece: Uint32Array, scratch: Uint16Array): Promise<number> {
  if (type === "F32") {
    await readExactly(file, new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength), position);
    return firstNotFinite(piece);
  }
  await readExactly(file, new Uint8Array(scratch.buffer, 0, piece.length * 2), position);
  return type === "BF16" ? decodeBf16(scratch, piece) : decodeF16(scratch, piece);
}

/** The error about an element of a tensor, counted through its rows, that is no number: `weights/value`. */
export function notFinite({ name, shape }: Pick<TensorInfo, "name" | "shape">, element: number, value: number): LfmcError {
  const { rowLength } = rowShape(shape);
  const fact = `is ${value} at row ${Math.floor(element / rowLength)}, column ${element % rowLength}`;
  return new LfmcError("weights/value", fact, { subject: name, hint: "weights must be finite: the checkpoint is damaged" });
}
