/**
 * The weights' way into the memory: piece by piece straight to its place, with no second copy of the whole. Pieces that a store has are
 * taken from there, the others are read, hashed while the next one arrives, and given to the store. So a load that was cut short goes on
 * where it stopped, and of another version only the pieces are read that differ.
 */
import { untilAborted } from "./abort.ts";
import { type ByteReader, type BytesInput, byteReader, skip, unreadable } from "./bytes.ts";
import { type PieceStore, reliable } from "./cache/piece-store.ts";
import { LfmcError, throwIfAborted } from "./errors.ts";
import { sha256 } from "./hash.ts";
import { type WeightPart, weightPieceBytes } from "./manifest.ts";
import type { ArtefactSource } from "./sources.ts";

/** Gives one part of the weights, a shard, by its index. */
export type ShardFunction = (index: number, part: WeightPart) => BytesInput | Promise<BytesInput>;

/**
 * Weights from the caller: all parts as one run of bytes, or a part at a time. A URL is the folder that holds the parts' paths, as `base`
 * is.
 */
export type WeightsInput = URL | BytesInput | ShardFunction;

export interface WeightsOptions {
  /** Check the sha256 of every piece. */
  readonly verify: boolean;
  /** Where pieces are kept between loads. */
  readonly store?: PieceStore | null;
  readonly signal: AbortSignal | undefined;
  /** Bytes loaded so far, of all parts together, those from the store included. */
  readonly onBytes: (loadedBytes: number) => void;
}

/** The weights' bytes, asked for in rising order. */
export interface WeightReader {
  /**
   * Fills `place` with the bytes of a part from `at` on; resolves to how many there were: fewer only at the part's end. Throws `io/…`,
   * `run/input`.
   */
  read(index: number, at: number, place: Uint8Array, onBytes: (bytes: number) => void): Promise<number>;
  /** Whether the part that was read last ends there. */
  ended(): Promise<boolean>;
  /** Lets go of what it reads from, at once. */
  close(): void;
}

/**
 * Fills `target` (the weights region) with the parts and closes the reader, however it ends. Throws `io/…`, `run/input`,
 * `artefact/mismatch` for a wrong length or hash, `run/aborted`, all by the part's path.
 */
export async function loadWeights(
  parts: readonly WeightPart[],
  target: Uint8Array,
  reader: WeightReader,
  { store: given, ...options }: WeightsOptions,
): Promise<void> {
  const { signal } = options;
  const wanted = parts.flatMap(({ pieces }) => pieces);
  const store = given ? reliable(given, wanted, signal) : null;
  const loading: Loading = { ...options, reader, store };
  /** What was read last, and is looked at while the next piece arrives. */
  let last: Piece | null = null;
  try {
    for (const piece of piecesOf(parts, target)) {
      throwIfAborted(signal, piece.part.path);
      const arriving = arrive(loading, piece);
      const finishing = last ? finish(loading, last) : null;
      // Where a piece does not arrive, the one before it is kept all the same.
      await Promise.all([finishing, arriving.catch(() => finishing)]);
      last = (await arriving) ? piece : null;
    }
    if (last) await finish(loading, last);
    await store?.keep(wanted);
  } finally {
    reader.close();
  }
}

interface Loading extends WeightsOptions {
  readonly reader: WeightReader;
  readonly store: PieceStore | null;
}

/** What is hashed together. */
interface Piece {
  readonly part: WeightPart;
  /** Of the part. */
  readonly index: number;
  /** Where the piece begins in its part. */
  readonly at: number;
  /** Where it begins in the weights. */
  readonly start: number;
  /** Where it belongs. */
  readonly place: Uint8Array;
  /** Its sha256. */
  readonly hash: string;
}

function piecesOf(parts: readonly WeightPart[], target: Uint8Array): readonly Piece[] {
  return parts.flatMap((part, index) => {
    const before = bytesOf(parts.slice(0, index));
    return part.pieces.map((hash, i): Piece => {
      const at = i * weightPieceBytes;
      const start = before + at;
      const place = target.subarray(start, before + Math.min(at + weightPieceBytes, part.bytes));
      return { part, index, at, start, place, hash };
    });
  });
}

// An error holds the functions on its stack, and what they close over: so no function below closes over the memory.

/** Resolves once the piece is in its place; to whether it was read, and is not known to be right. */
async function arrive({ reader, store, onBytes }: Loading, { part, index, at, start, place, hash }: Piece): Promise<boolean> {
  const stored = store && (await store.get(hash));
  if (stored?.length === place.length && (await sha256(stored)) === hash) {
    place.set(stored);
    onBytes(start + place.length);
    return false;
  }
  const size = await reader.read(index, at, place, (bytes) => {
    onBytes(start + bytes);
  });
  if (size < place.length) throw wrongLength(part, `ends after ${at + size} of its ${part.bytes} bytes`);
  if (at + size === part.bytes && !(await reader.ended())) throw wrongLength(part, `is longer than its ${part.bytes} bytes`);
  return true;
}

/** Checks a piece that was read, and gives a copy to the store: no store takes bytes of a shared memory. */
async function finish({ store, verify }: Loading, { part, place, hash }: Piece): Promise<void> {
  const copy = store && place.slice();
  if (verify || copy) compareHashes(part.path, await sha256(copy ?? place), hash);
  if (copy) await store.put(hash, copy);
}

/** Reads parts by their paths, and of a part no more than is asked for. */
export function readerOfSource(source: ArtefactSource, parts: readonly WeightPart[], signal: AbortSignal | undefined): WeightReader {
  return readerOfParts(parts, signal, async (part, _index, at) => {
    if (source.open) return await source.open(part.path, at, signal);
    return await readerFrom(await source.read(part.path, signal), part, at, signal);
  });
}

/** Reads what the caller gave for `parts`. */
export function readerOfInput(
  input: Exclude<WeightsInput, URL>,
  parts: readonly WeightPart[],
  signal: AbortSignal | undefined,
): WeightReader {
  if (typeof input !== "function") return readerOfRun(input, parts, signal);
  return readerOfParts(parts, signal, async (part, index, at) => {
    try {
      return await readerFrom(await input(index, part), part, at, signal);
    } catch (cause) {
      throw cause instanceof LfmcError ? cause : unreadable(part.path, cause);
    }
  });
}

/** Throws `artefact/mismatch` unless two sha256 are the same. */
export function compareHashes(subject: string, found: string, expected: string): void {
  if (found === expected) return;
  throw new LfmcError("artefact/mismatch", `sha256 is ${found.slice(0, 12)}…, the manifest says ${expected.slice(0, 12)}…`, {
    subject,
    hint: "The file was altered or belongs to another artefact; copy or compile it again.",
  });
}

async function readerFrom(given: BytesInput, part: WeightPart, at: number, signal: AbortSignal | undefined): Promise<ByteReader> {
  const reader = byteReader(given, part, signal);
  await skip(reader, at);
  return reader;
}

/** `open` reads a part from a byte of it on. */
function readerOfParts(
  parts: readonly WeightPart[],
  signal: AbortSignal | undefined,
  open: (part: WeightPart, index: number, at: number) => Promise<ByteReader>,
): WeightReader {
  let current: { readonly index: number; readonly reader: ByteReader; at: number } | null = null;
  let isClosed = false;
  return {
    async read(index, at, place, onBytes) {
      const part = parts[index];
      if (!part) return 0;
      if (current?.index !== index || current.at !== at) {
        current?.reader.cancel();
        const opening = open(part, index, at);
        // Whoever waited may be gone by then.
        void opening.then(
          (reader) => {
            if (isClosed) reader.cancel();
          },
          () => undefined,
        );
        current = { index, reader: await untilAborted(opening, signal, part.path), at };
      }
      const size = await current.reader.fill(place, onBytes);
      current.at += size;
      return size;
    },
    ended: async () => current === null || (await current.reader.ended()),
    close() {
      isClosed = true;
      current?.reader.cancel();
    },
  };
}

/** All parts in one run of bytes. */
function readerOfRun(input: BytesInput, parts: readonly WeightPart[], signal: AbortSignal | undefined): WeightReader {
  const about = { path: "weights" };
  let reader: ByteReader | null = null;
  let position = 0;
  return {
    async read(index, at, place, onBytes) {
      about.path = parts[index]?.path ?? about.path;
      reader ??= byteReader(input, about, signal);
      const start = bytesOf(parts.slice(0, index)) + at;
      await skip(reader, start - position);
      const size = await reader.fill(place, onBytes);
      position = start + size;
      return size;
    },
    ended: async () => reader === null || position < bytesOf(parts) || (await reader.ended()),
    close() {
      reader?.cancel();
    },
  };
}

function bytesOf(parts: readonly WeightPart[]): number {
  return parts.reduce((sum, { bytes }) => sum + bytes, 0);
}

function wrongLength({ path: subject }: WeightPart, fact: string): LfmcError {
  return new LfmcError("artefact/mismatch", fact, {
    subject,
    hint: "The file was cut short or belongs to another artefact; copy or compile it again.",
  });
}
