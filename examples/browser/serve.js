/**
 * Serves this folder with the headers that the page wants: `node serve.js [PORT]`, and `--shared` leaves out those that isolate it from
 * other origins, so that the model runs in one thread. Any other static server will do.
 */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, sep } from "node:path";
import { pipeline } from "node:stream/promises";

const args = process.argv.slice(2);
const isIsolated = !args.includes("--shared");
const port = Number(args.find((arg) => /^\d+$/.test(arg)) ?? 8000);

const headers = {
  "content-security-policy":
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "cache-control": "no-cache",
  ...(isIsolated && { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" }),
};
const types = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

/** The file of an address, null where it has none in this folder. */
async function fileOf(url) {
  try {
    const path = decodeURIComponent(url.split("?")[0]);
    const file = join(import.meta.dirname, path.endsWith("/") ? `${path}index.html` : path);
    const found = await stat(file);
    return found.isFile() && file.startsWith(`${import.meta.dirname}${sep}`) ? { file, size: found.size } : null;
  } catch {
    return null;
  }
}

const server = createServer(async ({ url }, response) => {
  const found = await fileOf(url);
  if (!found) {
    response.writeHead(404, headers).end();
    return;
  }
  const type = types[extname(found.file)] ?? "application/octet-stream";
  response.writeHead(200, { ...headers, "content-type": type, "content-length": found.size });
  // A client that leaves, or a file that cannot be read, ends the answer and nothing else.
  await pipeline(createReadStream(found.file), response).catch(() => response.destroy());
});
server.listen(port, "127.0.0.1", () => console.log(`http://localhost:${server.address().port}/`));
