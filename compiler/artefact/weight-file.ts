/**
 * The weights region as files: packed tensors one after the other, each on a cache line, cut into parts of a given size. What is held of
 * them is one piece, as long as the pieces that hosts hash: written whole, it lies in the system's cache on huge pages, where a library maps it.
 */
import { createHash, type Hash } from "node:crypto";
import { mkdir, open, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { weightPieceBytes, type WeightPart } from "../../runtime/manifest.ts";
import type { WeightFiles } from "../../targets/target.ts";

/** Packed tensors start on cache lines. */
export const tensorAlignment = 64;

/** A tensor's bytes, piece by piece. */
type Pieces = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

export interface WeightFile {
  /** Appends a tensor and returns its place in the region. A piece is taken over before the next is asked for. */
  append(pieces: Pieces): Promise<{ readonly offset: number; readonly bytes: number }>;
  /** The parts, the region's length with its trailer, and the sha256 of the tensors. */
  finish(): Promise<{ readonly parts: readonly WeightPart[]; readonly bytes: number; readonly sha256: string }>;
  /** Closes the open part, whatever happened. */
  close(): Promise<void>;
}

interface OpenPart {
  readonly path: string;
  readonly handle: FileHandle;
  readonly hash: Hash;
  /** Of the pieces that are written. */
  readonly pieces: string[];
  bytes: number;
}

/** Bytes of a trailer. */
export const weightTrailerBytes = 64;

/**
 * What stands behind the tensors of a weights file that is mapped: "LFMCWTS1", the length of the whole file (u64, little-endian), the sha256 of
 * all before it, zeros. So a library tells its own file from another model's without reading it through.
 */
export function weightTrailer(tensorBytes: number, sha256: string): Uint8Array {
  const trailer = Buffer.alloc(weightTrailerBytes);
  trailer.write("LFMCWTS1", "latin1");
  trailer.writeBigUInt64LE(BigInt(tensorBytes + weightTrailerBytes), 8);
  trailer.write(sha256, 16, "hex");
  return trailer;
}

/** Starts the target's weights files in `folder`. `partBytes` is the largest part. */
export function createWeightFile(folder: string, { path: pathOf, trailer }: WeightFiles, partBytes: number): WeightFile {
  const whole = createHash("sha256");
  const parts: WeightPart[] = [];
  /** What follows the open part's written pieces. */
  const piece = new Uint8Array(weightPieceBytes);
  let part: OpenPart | null = null;
  let offset = 0;

  const closePart = async (): Promise<void> => {
    if (!part) return;
    const { path, handle, hash, pieces, bytes } = part;
    if (bytes % weightPieceBytes > 0) await writePiece(part);
    part = null;
    await handle.close();
    parts.push({ path, bytes, sha256: hash.digest("hex"), pieces });
  };
  const openPart = async (): Promise<OpenPart> => {
    const path = typeof pathOf === "string" ? pathOf : pathOf(parts.length);
    await mkdir(dirname(join(folder, path)), { recursive: true });
    return { path, handle: await open(join(folder, path), "wx"), hash: createHash("sha256"), pieces: [], bytes: 0 };
  };
  const writePiece = async ({ handle, hash, pieces, bytes }: OpenPart): Promise<void> => {
    const written = piece.subarray(0, bytes % weightPieceBytes || weightPieceBytes);
    hash.update(written);
    pieces.push(createHash("sha256").update(written).digest("hex"));
    // `writeFile` would cut it into pieces of its own.
    for (let at = 0; at < written.length;) at += (await handle.write(written, at)).bytesWritten;
  };
  const write = async (bytes: Uint8Array): Promise<void> => {
    whole.update(bytes);
    for (let at = 0; at < bytes.length;) {
      part ??= await openPart();
      const filled = part.bytes % weightPieceBytes;
      const run = bytes.subarray(at, at + Math.min(partBytes - part.bytes, weightPieceBytes - filled));
      piece.set(run, filled);
      part.bytes += run.length;
      at += run.length;
      if (part.bytes % weightPieceBytes === 0) await writePiece(part);
      if (part.bytes === partBytes) await closePart();
    }
    offset += bytes.length;
  };

  return {
    async append(pieces) {
      const start = offset;
      for await (const piece of pieces) await write(piece);
      const bytes = offset - start;
      await write(new Uint8Array((tensorAlignment - (offset % tensorAlignment)) % tensorAlignment));
      return { offset: start, bytes };
    },
    async finish() {
      const sha256 = whole.copy().digest("hex");
      if (trailer) await write(weightTrailer(offset, sha256));
      await closePart();
      return { parts, bytes: offset, sha256 };
    },
    async close() {
      await part?.handle.close();
      part = null;
    },
  };
}
