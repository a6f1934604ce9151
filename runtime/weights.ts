/**
 * The weights' way into the memory: each part goes straight to its place, with no second copy of the whole. A part of the wrong length
 * is refused; `verify` also hashes each piece of it, while the next one arrives.
 */
import { LfmcError, throwIfAborted } from "./errors.ts";
import { sha256 } from "./hash.ts";
import { type WeightPart, weightPieceBytes } from "./manifest.ts";
import { type ArtefactSource, type OnBytes, responseBytes, streamBytes } from "./sources.ts";

/**
 * Weights from the caller: all parts as one run of bytes, or a part at a time by its index. A URL is the folder that holds the parts' paths, as
 * `base` is.
 */
export type WeightsInput =
  URL | Response | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array> | ((index: number) => Promise<Uint8Array | ArrayBuffer>);

export interface WeightsOptions {
  /** Check the sha256 of every piece. */
  readonly verify: boolean;
  readonly signal: AbortSignal | undefined;
  /** Bytes loaded so far, of all parts together. */
  readonly onBytes: (loadedBytes: number) => void;
}

/** Fills `target` (the weights region) with the parts; throws `io/…`, `artefact/mismatch` for a wrong length or hash, `run/aborted`. */
export async function loadWeights(
  parts: readonly WeightPart[],
  target: Uint8Array,
  from: PartReader,
  options: WeightsOptions,
): Promise<void> {
  let offset = 0;
  for (const [index, part] of parts.entries()) {
    const place = target.subarray(offset, offset + part.bytes);
    const before = offset;
    const check = options.verify ? new PieceCheck(part, place) : null;
    const onBytes = async (bytes: number): Promise<void> => {
      options.onBytes(before + bytes);
      await check?.arrived(bytes);
    };
    const size = await from(part, index, place, onBytes, options.signal);
    throwIfAborted(options.signal, part.path);
    if (size !== part.bytes) throw wrongLength(part, size);
    await check?.arrived(size);
    offset += part.bytes;
  }
}

/** Writes one part to its place and returns how long it was, or at least a length that differs from the place's where the part does. */
export type PartReader = (
  part: WeightPart,
  index: number,
  place: Uint8Array,
  onBytes: OnBytes,
  signal: AbortSignal | undefined,
) => Promise<number>;

/** Hashes a part's pieces in order, each once it is there. */
class PieceCheck {
  readonly #part: WeightPart;
  readonly #place: Uint8Array;
  #hashed = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(part: WeightPart, place: Uint8Array) {
    this.#part = part;
    this.#place = place;
  }

  /** The first `bytes` bytes are there; resolves when their pieces are hashed. Throws `artefact/mismatch`, also in later calls. */
  arrived(bytes: number): Promise<void> {
    this.#last = this.#last.then(() => this.#hash(bytes));
    return this.#last;
  }

  async #hash(bytes: number): Promise<void> {
    const { path, pieces } = this.#part;
    for (let end = this.#end(); this.#hashed < pieces.length && end <= bytes; end = this.#end()) {
      const found = await sha256(this.#place.subarray(this.#hashed * weightPieceBytes, end));
      compareHashes(path, found, pieces[this.#hashed] ?? "");
      this.#hashed++;
    }
  }

  /** Where the next piece ends. */
  #end(): number {
    return Math.min((this.#hashed + 1) * weightPieceBytes, this.#part.bytes);
  }
}

/** Reads parts by their paths. */
export function partsOfSource(source: ArtefactSource): PartReader {
  return (part, _index, place, onBytes, signal) =>
    source.readInto
      ? source.readInto(part.path, place, onBytes, signal)
      : fill(new Pieces(source.stream(part.path, signal)), place, true, onBytes, signal);
}

/** Reads parts from what the caller gave; `count` is the number of parts. */
export function partsOfInput(input: Exclude<WeightsInput, URL>, count: number): PartReader {
  if (typeof input === "function") {
    return async (_part, index, place, onBytes) => {
      const given = await input(index);
      const bytes = given instanceof Uint8Array ? given : new Uint8Array(given);
      if (bytes.length !== place.length) return bytes.length;
      place.set(bytes);
      await onBytes(bytes.length);
      return bytes.length;
    };
  }
  const pieces = new Pieces(bytesOf(input));
  return (_part, index, place, onBytes, signal) => fill(pieces, place, index === count - 1, onBytes, signal);
}

/** Throws `artefact/mismatch` unless two sha256 are the same. */
export function compareHashes(subject: string, found: string, expected: string): void {
  if (found === expected) return;
  throw new LfmcError("artefact/mismatch", `sha256 is ${found.slice(0, 12)}…, the manifest says ${expected.slice(0, 12)}…`, {
    subject,
    hint: "The file was altered or belongs to another artefact; copy or compile it again.",
  });
}

function bytesOf(input: Exclude<WeightsInput, URL | ((index: number) => Promise<Uint8Array | ArrayBuffer>)>): AsyncIterable<Uint8Array> {
  if (input instanceof Response) return responseBytes(input, "weights");
  return "getReader" in input ? streamBytes(input) : input;
}

/** Copies pieces into `place`; with `toEnd`, any bytes beyond it count as length, otherwise they are left for the next part. */
async function fill(pieces: Pieces, place: Uint8Array, toEnd: boolean, onBytes: OnBytes, signal: AbortSignal | undefined): Promise<number> {
  let at = 0;
  while (at < place.length) {
    throwIfAborted(signal, "weights");
    const piece = await pieces.next(place.length - at);
    if (!piece) return at;
    place.set(piece, at);
    at += piece.length;
    await onBytes(at);
  }
  return toEnd && (await pieces.next(1)) ? at + 1 : at;
}

/** An async iterable of bytes, read in amounts of the caller's choice. */
class Pieces {
  readonly #iterator: AsyncIterator<Uint8Array, unknown>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(iterable: AsyncIterable<Uint8Array>) {
    this.#iterator = iterable[Symbol.asyncIterator]();
  }

  /** The next 1 to `most` bytes, or null at the end. */
  async next(most: number): Promise<Uint8Array | null> {
    while (this.#rest.length === 0) {
      const next = await this.#iterator.next();
      if (next.done) return null;
      this.#rest = next.value;
    }
    const piece = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(most);
    return piece;
  }
}

function wrongLength(part: WeightPart, size: number): LfmcError {
  const fact = size < part.bytes ? `ends after ${size} of its ${part.bytes} bytes` : `is longer than its ${part.bytes} bytes`;
  return new LfmcError("artefact/mismatch", fact, {
    subject: part.path,
    hint: "The file was cut short or belongs to another artefact; copy or compile it again.",
  });
}
