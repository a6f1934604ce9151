/** Bytes in whatever form a caller has them, read in order and in amounts of the reader's choice. */
import { untilAborted } from "./abort.ts";
import { LfmcError } from "./errors.ts";

/** A file's bytes, there or on their way. */
export type BytesInput = Uint8Array | ArrayBuffer | Blob | Response | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;

/** Bytes of a file, read in order and in amounts of the reader's choice. */
export interface ByteReader {
  /**
   * Fills `place` with the bytes that come next, and tells on the way how many are there; resolves to how many there were: fewer only at
   * the end.
   */
  fill(place: Uint8Array, onBytes: (bytes: number) => void): Promise<number>;
  /** Whether nothing is left. */
  ended(): Promise<boolean>;
  /** Lets go of what is left, at once and also in the middle of a call. */
  cancel(): void;
}

/**
 * Reads `given`. Throws `run/input` for what gives no bytes, `io/…` for what fails on the way, `run/aborted`; `about.path`, as it is then,
 * is what they name.
 */
export function byteReader(given: BytesInput, about: { readonly path: string }, signal: AbortSignal | undefined): ByteReader {
  const chunks = chunksOf(given, about.path);
  let rest: Uint8Array = new Uint8Array(0);
  const hasMore = async (): Promise<boolean> => {
    while (rest.length === 0) {
      const { done, value } = await untilAborted(chunks.next(), signal, about.path).catch((cause: unknown) => {
        throw cause instanceof LfmcError ? cause : unreadable(about.path, cause);
      });
      if (done) return false;
      if (!(value instanceof Uint8Array)) throw noBytes(about.path, `comes in pieces of which one is ${kindOf(value)}`);
      rest = value;
    }
    return true;
  };
  return {
    async fill(place, onBytes) {
      let at = 0;
      while (at < place.length && (await hasMore())) {
        const piece = rest.subarray(0, place.length - at);
        place.set(piece, at);
        rest = rest.subarray(piece.length);
        at += piece.length;
        onBytes(at);
      }
      return at;
    },
    ended: async () => !(await hasMore()),
    cancel: () => {
      chunks.cancel();
    },
  };
}

/** Reads `bytes` bytes for nothing, or as many as there are; throws as the reader does. */
export async function skip(reader: ByteReader, bytes: number): Promise<void> {
  const place = new Uint8Array(Math.min(bytes, 2 ** 16));
  let left = bytes;
  while (left > 0) {
    const size = await reader.fill(place.subarray(0, left), () => undefined);
    left = size === 0 ? 0 : left - size;
  }
}

/** A whole body; throws `io/…` unless the response is a success and comes to its end, `run/aborted`. */
export async function bodyOf(response: Response, subject: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
  if (!response.ok) throw failedResponse(response, subject);
  const body = await untilAborted(response.arrayBuffer(), signal, subject).catch((cause: unknown) => {
    throw cause instanceof LfmcError ? cause : unreadable(subject, cause);
  });
  return new Uint8Array(body);
}

/** What a failed read of `subject` is to the caller. */
export function unreadable(subject: string, cause: unknown): LfmcError {
  return new LfmcError("io/unreadable", `cannot be read to its end: ${String(cause)}`, {
    subject,
    hint: "Load again, where the connection or the disk failed.",
    cause,
  });
}

function failedResponse(response: Response, subject: string): LfmcError {
  return new LfmcError(response.status === 404 ? "io/missing" : "io/unreadable", `the server answers ${response.status}`, {
    subject,
    hint: "Is the whole artefact served at that address?",
  });
}

/** Where chunks come from, one after the other. */
interface Chunks {
  next(): Promise<{ readonly done?: boolean; readonly value?: unknown }>;
  cancel(): void;
}

function chunksOf(given: unknown, subject: string): Chunks {
  if (given instanceof Uint8Array) return chunksOfIterator([given].values());
  if (given instanceof ArrayBuffer) return chunksOfIterator([new Uint8Array(given)].values());
  if (given instanceof Blob) return chunksOf(given.stream(), subject);
  if (given instanceof Response) {
    if (!given.ok) throw failedResponse(given, subject);
    return given.body ? chunksOf(given.body, subject) : chunksOfIterator([].values());
  }
  if (given instanceof ReadableStream) return chunksOfStream(given, subject);
  if (isAsyncIterable(given)) return chunksOfIterator(given[Symbol.asyncIterator]());
  throw noBytes(subject, `is given as ${kindOf(given)}`);
}

function chunksOfIterator(iterator: Iterator<unknown> | AsyncIterator<unknown>): Chunks {
  return {
    next: async () => await iterator.next(),
    cancel: () => {
      // An iterator in the middle of a step returns after it, or never.
      void Promise.resolve(iterator.return?.()).catch(() => undefined);
    },
  };
}

/** Not every browser's streams are async iterables, and those that are cannot be cancelled while they are read. */
function chunksOfStream(stream: ReadableStream, subject: string): Chunks {
  if (stream.locked) throw noBytes(subject, "is a stream that somebody else reads");
  const reader: ReadableStreamDefaultReader<unknown> = stream.getReader();
  return {
    next: () => reader.read(),
    cancel: () => void reader.cancel().catch(() => undefined),
  };
}

function isAsyncIterable(given: unknown): given is AsyncIterable<unknown> {
  return typeof given === "object" && given !== null && Symbol.asyncIterator in given;
}

/** What a value is, in a word, for errors. */
export function kindOf(given: unknown): string {
  return given === null || given === undefined ? String(given) : Object.prototype.toString.call(given).slice(8, -1);
}

function noBytes(subject: string, fact: string): LfmcError {
  return new LfmcError("run/input", fact, {
    subject,
    hint: "Give a Uint8Array, an ArrayBuffer, a Blob, a Response, or a ReadableStream or async iterable of Uint8Array.",
  });
}
