/**
 * A static server for pages in tests, on a port of this machine alone: folders by the paths they stand under, ranges of files, headers of
 * the test's choice. A test may spoil single answers, and sees every request that came.
 */
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { extname, join } from "node:path";

/** Headers that isolate a page from other origins, so that it may share memory with its workers. */
export const isolation: Readonly<Record<string, string>> = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "same-origin",
};

/** The policy under which an artefact runs at its strictest: it compiles its module, and starts workers from its own files. */
export const strictPolicy: Readonly<Record<string, string>> = {
  "content-security-policy":
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
};

/** A request, and what was sent of the answer's body so far. */
export interface ServedRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** The header: `bytes=4194304-`. */
  readonly range: string | undefined;
  readonly status: number;
  readonly sentBytes: number;
}

/** What a test does to an answer. */
export interface Alteration {
  /** An answer of this status, without a body. */
  readonly status?: number;
  /** Content in place of the file's. */
  readonly content?: (file: Uint8Array) => Uint8Array;
  /** Answers with the whole file whatever range is asked for. */
  readonly ignoresRange?: boolean;
  /** Bytes of the body after which the connection breaks. */
  readonly cutAfter?: number;
  /** Bytes of the body after which nothing more comes, while the connection stays. */
  readonly holdAfter?: number;
}

export interface ServeOptions {
  /** Headers of every answer. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Texts by their paths, before the folders' files: a page, a script. */
  readonly texts?: Readonly<Record<string, string>>;
  /** Asked for every request; undefined leaves the answer as it is. */
  readonly alter?: (request: Pick<ServedRequest, "method" | "path" | "range">) => Alteration | undefined;
}

export interface Server {
  /** Ends in a slash. */
  readonly url: string;
  /** Every request in the order they came. */
  readonly requests: readonly ServedRequest[];
  /** Ends the server, and every connection. */
  readonly close: () => Promise<void>;
}

const mediaTypes: Readonly<Record<string, string>> = {
  "": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

/**
 * Serves `folders`, by the paths that they stand under: `{ "/": page, "/model/": artefact }`. A path that ends in a slash is its
 * index.html.
 */
export async function serve(folders: Readonly<Record<string, string>>, options: ServeOptions = {}): Promise<Server> {
  const requests: ServedRequest[] = [];
  const server = createServer((request, response) => {
    const { method = "GET", headers } = request;
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname);
    const asked = { method, path, range: headers.range };
    const place = requests.push({ ...asked, status: 0, sentBytes: 0 }) - 1;
    const note = (status: number, sentBytes: number): void => {
      requests[place] = { ...asked, status, sentBytes };
    };
    const reply = { request, response, headers: options.headers ?? {}, note };
    void contentOf(folders, options.texts ?? {}, path)
      .then((content) => answer(reply, path, content, options.alter?.(asked) ?? {}))
      .catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => {
        resolve();
      });
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${address.port}/`, requests, close };
}

/** What stands at a path: a text, or the file in the folder with the longest prefix of it; null where nothing does. */
async function contentOf(
  folders: Readonly<Record<string, string>>,
  texts: Readonly<Record<string, string>>,
  path: string,
): Promise<Uint8Array | null> {
  const text = texts[path];
  if (text !== undefined) return new TextEncoder().encode(text);
  const [prefix] = Object.keys(folders)
    .filter((each) => path.startsWith(each))
    .toSorted((a, b) => b.length - a.length);
  if (prefix === undefined || path.split("/").includes("..")) return null;
  const file = join(folders[prefix] ?? "", path.slice(prefix.length), path.endsWith("/") ? "index.html" : "");
  return await readFile(file).catch(() => null);
}

interface Reply {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly headers: Readonly<Record<string, string>>;
  readonly note: (status: number, sentBytes: number) => void;
}

async function answer(reply: Reply, path: string, found: Uint8Array | null, alteration: Alteration): Promise<void> {
  const { request, response, headers, note } = reply;
  const refuse = (status: number, more: Readonly<Record<string, string>> = {}): void => {
    note(status, 0);
    response.writeHead(status, { ...headers, ...more }).end();
  };
  if (alteration.status !== undefined || found === null) {
    // What browsers ask for by themselves is no fault of the page.
    refuse(alteration.status ?? (path === "/favicon.ico" ? 204 : 404));
    return;
  }
  const content = alteration.content?.(found) ?? found;
  const range = alteration.ignoresRange ? null : rangeOf(request.headers.range, content.length);
  if (range && range.begin >= range.end) {
    refuse(416, { "content-range": `bytes */${content.length}` });
    return;
  }
  const body = range ? content.subarray(range.begin, range.end) : content;
  const status = range ? 206 : 200;
  response.writeHead(status, {
    "cache-control": "no-store",
    "accept-ranges": "bytes",
    "content-type": mediaTypes[extname(path)] ?? "application/octet-stream",
    "content-length": body.length,
    ...(range ? { "content-range": `bytes ${range.begin}-${range.end - 1}/${content.length}` } : {}),
    ...headers,
  });
  const { cutAfter, holdAfter } = alteration;
  const upTo = Math.min(cutAfter ?? body.length, holdAfter ?? body.length, request.method === "HEAD" ? 0 : body.length);
  for (let sent = 0; sent < upTo;) {
    const piece = body.subarray(sent, Math.min(upTo, sent + 2 ** 16));
    if (response.destroyed) return;
    await new Promise<void>((resolve) => {
      response.once("close", resolve);
      response.write(piece, () => {
        response.off("close", resolve);
        resolve();
      });
    });
    sent += piece.length;
    note(status, sent);
  }
  if (cutAfter !== undefined) response.destroy();
  else if (holdAfter === undefined) response.end();
}

/** The bytes that a Range header asks for, none where they are not there; null for no header, or one that this server does not know. */
function rangeOf(header: string | undefined, length: number): { readonly begin: number; readonly end: number } | null {
  const found = /^bytes=(\d+)-(\d*)$/.exec(header ?? "");
  if (found === null) return null;
  return { begin: Number(found[1]), end: found[2] ? Math.min(Number(found[2]) + 1, length) : length };
}
