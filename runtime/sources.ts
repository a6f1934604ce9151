/**
 * Where an artefact's bytes come from. A source knows nothing of what the bytes mean; whoever reads checks lengths and hashes.
 */
import { type ByteReader, bodyOf, byteReader, skip } from "./bytes.ts";
import { LfmcError, throwIfAborted } from "./errors.ts";
import { type FileSystem, hostFileSystem } from "./file-system.ts";
import { isBrowser } from "./host.ts";

/** An artefact's files, wherever they are. */
export interface ArtefactSource {
  /** A whole file; throws `io/missing` or `io/unreadable`. */
  read(path: string, signal?: AbortSignal): Promise<Uint8Array>;
  /** A file from byte `start` on, to be read piece by piece; throws as `read` does. Where it is left out, files are read whole. */
  open?(path: string, start: number, signal?: AbortSignal): Promise<ByteReader>;
}

/** The files below `base`, a URL that ends in a slash: file: URLs through the host's file system where it has one, others by fetch. */
export function urlSource(base: URL): ArtefactSource {
  const files = base.protocol === "file:" ? hostFileSystem() : null;
  return files ? fileSource(base, files) : fetchSource(base);
}

function fetchSource(base: URL): ArtefactSource {
  const get = async (url: URL, signal: AbortSignal | undefined): Promise<Response> =>
    await fetch(url, requestOf(signal)).catch((cause: unknown) => {
      throwIfAborted(signal, url.href);
      throw new LfmcError("io/unreadable", "cannot be fetched", {
        subject: url.href,
        hint: "Is the artefact served at that address?",
        cause,
      });
    });
  return {
    read: async (path, signal) => {
      const url = new URL(path, base);
      return await bodyOf(await get(url, signal), url.href, signal);
    },
    open: async (path, start, signal) => {
      const url = new URL(path, base);
      const response = (start > 0 ? await getFrom(url, start, signal) : null) ?? (await get(url, signal));
      const reader = byteReader(response, { path: url.href }, signal);
      if (response.status !== 206) await skip(reader, start);
      return reader;
    },
  };
}

/** Browsers ask the server whether what they have is still right: the files of two versions do not go together. Edge workers do not know the word. */
function requestOf(signal: AbortSignal | undefined): RequestInit {
  return { ...(isBrowser() && { cache: "no-cache" }), ...(signal && { signal }) };
}

/** The answer to a request for the bytes from `start` on: just these, or the whole; null where it is neither. */
async function getFrom(url: URL, start: number, signal: AbortSignal | undefined): Promise<Response | null> {
  try {
    const response = await fetch(url, { ...requestOf(signal), headers: { range: `bytes=${start}-` } });
    // Across origins this header is hidden unless the server shows it; then the status has to do.
    const range = response.headers.get("content-range");
    const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(range ?? "") ?? [];
    const isRest = response.status === 206 && (range === null || (Number(first) === start && Number(last) + 1 === Number(total)));
    if (isRest || response.status === 200) return response;
    await response.body?.cancel();
    return null;
  } catch {
    throwIfAborted(signal, url.href);
    return null;
  }
}

function fileSource(base: URL, files: FileSystem): ArtefactSource {
  return {
    read: async (path) => {
      const url = new URL(path, base);
      return files.readFile(url).catch((cause: unknown) => {
        throw missing(url, cause);
      });
    },
    open: async (path, start) => {
      const url = new URL(path, base);
      const refuse = (cause: unknown): never => {
        throw missing(url, cause);
      };
      const file = await files.open(url).catch(refuse);
      let at = start;
      return {
        async fill(place, onBytes) {
          let filled = 0;
          while (filled < place.length) {
            const { bytesRead } = await file.read(place, filled, place.length - filled, at).catch(refuse);
            if (bytesRead === 0) break;
            at += bytesRead;
            filled += bytesRead;
            onBytes(filled);
          }
          return filled;
        },
        ended: async () => (await file.read(new Uint8Array(1), 0, 1, at).catch(refuse)).bytesRead === 0,
        cancel: () => void file.close().catch(() => undefined),
      };
    },
  };
}

function missing(url: URL, cause: unknown): LfmcError {
  return new LfmcError("io/missing", "cannot be read", { subject: url.href, hint: "The artefact's folder must be kept whole.", cause });
}
