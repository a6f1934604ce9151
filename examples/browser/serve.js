/**
 * Serves this folder with the headers that the page wants: `node serve.js [PORT]`, and `--shared` leaves out those that isolate it from
 * other origins, so that the model runs in one thread. Any other static server will do.
 */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";

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

const server = createServer(async ({ url }, response) => {
  const [path] = url.split("?");
  const file = join(import.meta.dirname, path.endsWith("/") ? `${path}index.html` : path);
  const found = file.startsWith(import.meta.dirname) && (await stat(file).catch(() => null));
  if (!found || !found.isFile()) {
    response.writeHead(404, headers).end();
    return;
  }
  response.writeHead(200, { ...headers, "content-type": types[extname(file)] ?? "application/octet-stream", "content-length": found.size });
  createReadStream(file).pipe(response);
});
server.listen(port, "127.0.0.1", () => console.log(`http://localhost:${server.address().port}/`));
