/**
 * The weights region as files: packed tensors one after the other, each on a cache line, cut into parts of a given size. Bytes are
 * hashed as they pass, and never held.
 */
import { createHash, type Hash } from "node:crypto";
import { mkdir, open, type FileHandle } from "node:fs/promises";
import { join } from "node:path";

/** Packed tensors start on cache lines. */
export const tensorAlignment = 64;

export interface WrittenPart {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface WeightFile {
  /** Appends a tensor and returns its offset in the region. */
  append(bytes: Uint8Array): Promise<number>;
  /** The parts, the region's length, and the sha256 of the whole region. */
  finish(): Promise<{ readonly parts: readonly WrittenPart[]; readonly bytes: number; readonly sha256: string }>;
  /** Closes the open part, whatever happened. */
  close(): Promise<void>;
}

interface OpenPart {
  readonly path: string;
  readonly handle: FileHandle;
  readonly hash: Hash;
  bytes: number;
}

/** Starts `folder/weights/00000.bin`, ….  `partBytes` is the largest part. */
export async function createWeightFile(folder: string, partBytes: number): Promise<WeightFile> {
  await mkdir(join(folder, "weights"));
  const whole = createHash("sha256");
  const parts: WrittenPart[] = [];
  let part: OpenPart | null = null;
  let offset = 0;

  const closePart = async (): Promise<void> => {
    if (!part) return;
    const { path, handle, hash, bytes } = part;
    part = null;
    await handle.close();
    parts.push({ path, bytes, sha256: hash.digest("hex") });
  };
  const openPart = async (): Promise<OpenPart> => {
    const path = `weights/${String(parts.length).padStart(5, "0")}.bin`;
    return { path, handle: await open(join(folder, path), "wx"), hash: createHash("sha256"), bytes: 0 };
  };
  const write = async (bytes: Uint8Array): Promise<void> => {
    whole.update(bytes);
    for (let at = 0; at < bytes.length;) {
      part ??= await openPart();
      const piece = bytes.subarray(at, at + partBytes - part.bytes);
      part.hash.update(piece);
      await part.handle.writeFile(piece);
      part.bytes += piece.length;
      at += piece.length;
      if (part.bytes === partBytes) await closePart();
    }
    offset += bytes.length;
  };

  return {
    async append(bytes) {
      const start = offset;
      await write(bytes);
      await write(new Uint8Array((tensorAlignment - (offset % tensorAlignment)) % tensorAlignment));
      return start;
    },
    async finish() {
      await closePart();
      return { parts, bytes: offset, sha256: whole.digest("hex") };
    },
    async close() {
      await part?.handle.close();
      part = null;
    },
  };
}
