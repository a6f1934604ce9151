/**
 * A small static server for the pages. They are isolated from other origins, which shared memory needs, and TypeScript is served as
 * JavaScript, its types stripped.
 */
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import { stripTypeScriptTypes } from "node:module";
import { extname, join } from "node:path";
import { pipeline } from "node:stream/promises";

export interface Server {
  /** Ends in a slash. */
  readonly url: string;
  readonly close: () => void;
}

const mediaTypes: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".ts": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

const isolation: Readonly<Record<string, string>> = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
};

/** Serves `folders`, by the paths that they stand under, on a port of this machine alone. */
export async function serve(folders: Readonly<Record<string, string>>): Promise<Server> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    void answer(response, fileOf(folders, decodeURIComponent(pathname))).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return { url: `http://127.0.0.1:${address.port}/`, close: () => server.close() };
}

/** The file of a path: in the folder with the longest prefix of it. */
function fileOf(folders: Readonly<Record<string, string>>, path: string): string {
  const [prefix = "/"] = Object.keys(folders)
    .filter((each) => path.startsWith(each))
    .toSorted((a, b) => b.length - a.length);
  return join(folders[prefix] ?? "", path.slice(prefix.length));
}

async function answer(response: ServerResponse, file: string): Promise<void> {
  const size = await stat(file).then(
    (found) => found.size,
    () => null,
  );
  const headers = { ...isolation, "content-type": mediaTypes[extname(file)] ?? "application/octet-stream" };
  if (size === null) {
    response.writeHead(404, isolation).end();
  } else if (extname(file) === ".ts") {
    response.writeHead(200, headers).end(stripTypeScriptTypes(await readFile(file, "utf8")));
  } else {
    response.writeHead(200, { ...headers, "content-length": size });
    await pipeline(createReadStream(file, { highWaterMark: 2 ** 20 }), response);
  }
}
