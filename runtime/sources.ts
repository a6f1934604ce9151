/**
 * Where an artefact's bytes come from. A source knows nothing of what the bytes mean; whoever reads checks lengths and hashes.
 */
import { LfmcError, throwIfAborted } from "./errors.ts";
import { type FileSystem, hostFileSystem } from "./file-system.ts";

export interface ArtefactSource {
  /** A whole file; throws `io/missing` or `io/unreadable`. */
  read(path: string, signal?: AbortSignal): Promise<Uint8Array>;
  /** A file in pieces, in order; throws as `read` does. */
  stream(path: string, signal?: AbortSignal): AsyncIterable<Uint8Array>;
  /**
   * Where the host can read a file straight into given bytes: fills `target` from the file's start, reports the bytes so far, and
   * returns the file's size, which may differ from the target's. Let `onBytes` resolve before reporting more.
   */
  readInto?(path: string, target: Uint8Array, onBytes: OnBytes, signal?: AbortSignal): Promise<number>;
}

/** Told how many bytes of a file are there; resolves when it is done with them, and rejects where no more are wanted. */
export type OnBytes = (bytes: number) => Promise<void>;

/** The files below `base`, a URL that ends in a slash: file: URLs through the host's file system where it has one, others by fetch. */
export function urlSource(base: URL): ArtefactSource {
  const files = base.protocol === "file:" ? hostFileSystem() : null;
  return files ? fileSource(base, files) : fetchSource(base);
}

/** The body of a response in pieces; throws `io/unreadable` unless it is a success. */
export async function* responseBytes(response: Response, subject: string): AsyncGenerator<Uint8Array, void, void> {
  if (!response.ok) throw failedResponse(response, subject);
  if (!response.body) return;
  yield* streamBytes(response.body);
}

/** A web stream in pieces, cancelled if the reader stops early. Not every browser's streams are async iterables. */
export async function* streamBytes(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  const reader = stream.getReader();
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      ended = done;
      if (done) return;
      yield value;
    }
  } finally {
    if (!ended) await reader.cancel();
  }
}

function fetchSource(base: URL): ArtefactSource {
  const open = async (path: string, signal: AbortSignal | undefined): Promise<Response> => {
    const url = new URL(path, base);
    const response = await fetch(url, signal ? { signal } : {}).catch((cause: unknown) => {
      throwIfAborted(signal, path);
      throw new LfmcError("io/unreadable", "cannot be fetched", {
        subject: url.href,
        hint: "Is the artefact served at that address?",
        cause,
      });
    });
    if (!response.ok) throw failedResponse(response, url.href);
    return response;
  };
  return {
    read: async (path, signal) => new Uint8Array(await (await open(path, signal)).arrayBuffer()),
    async *stream(path, signal) {
      yield* responseBytes(await open(path, signal), path);
    },
  };
}

/** Bytes a read asks for: large enough for full disk speed, small enough to report progress and hear aborts. */
const pieceBytes = 4 * 2 ** 20;

function fileSource(base: URL, files: FileSystem): ArtefactSource {
  const url = (path: string): URL => new URL(path, base);
  const readInto = async (path: string, target: Uint8Array, onBytes: OnBytes, signal?: AbortSignal): Promise<number> => {
    const file = await files.open(url(path)).catch((cause: unknown) => {
      throw missing(url(path).href, cause);
    });
    const readAt = async (at: number): Promise<number> => {
      if (at >= target.length || signal?.aborted) return 0;
      const { bytesRead } = await file.read(target, at, Math.min(pieceBytes, target.length - at), at).catch((cause: unknown) => {
        throw missing(url(path).href, cause);
      });
      return bytesRead;
    };
    try {
      let at = 0;
      let bytesRead = await readAt(at);
      while (bytesRead > 0) {
        at += bytesRead;
        // A piece is read while the one before it is being looked at.
        [bytesRead] = await Promise.all([readAt(at), onBytes(at)]);
      }
      return (await file.stat()).size;
    } finally {
      await file.close();
    }
  };
  const read = async (path: string): Promise<Uint8Array> =>
    files.readFile(url(path)).catch((cause: unknown) => {
      throw missing(url(path).href, cause);
    });
  return {
    read,
    async *stream(path) {
      yield await read(path);
    },
    readInto,
  };
}

function failedResponse(response: Response, subject: string): LfmcError {
  return new LfmcError(response.status === 404 ? "io/missing" : "io/unreadable", `the server answers ${response.status}`, {
    subject,
    hint: "Is the whole artefact served at that address?",
  });
}

function missing(subject: string, cause: unknown): LfmcError {
  return new LfmcError("io/missing", "cannot be read", { subject, hint: "The artefact's folder must be kept whole.", cause });
}
