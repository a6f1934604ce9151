/** What a user downloads of the runtime: its bundles, as `npm run build:runtime` leaves them in `dist/`. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";

export interface BundleSize {
  readonly file: string;
  /** Who loads it. */
  readonly use: string;
  /** In bytes: minified, and compressed as servers do, at the highest level. */
  readonly minified: number;
  readonly gzipped: number;
  readonly brotli: number;
}

/** The core, with the tokenizer, stays below this many bytes gzipped. */
export const coreBound = 30_000;

const bundles: Readonly<Record<string, string>> = {
  "runtime.js": "WebAssembly artefacts: load, tokenizer, sessions, sampling, caching",
  "thread.js": "their threads",
  "chat.js": "who chats: templates, calls of tools",
  "json-schema.js": "who holds texts to schemas and patterns",
  "library.js": "C artefacts, in place of runtime.js",
};

/** The bundles' sizes, the core first. Throws where the runtime has not been built. */
export async function bundleSizes(): Promise<readonly BundleSize[]> {
  return await Promise.all(
    Object.entries(bundles).map(async ([file, use]) => {
      const bytes = await readFile(fileURLToPath(new URL(`../../dist/${file}`, import.meta.url)));
      const [gzipped, brotli] = [gzipSync(bytes, { level: 9 }), brotliCompressSync(bytes)];
      return { file, use, minified: bytes.length, gzipped: gzipped.length, brotli: brotli.length };
    }),
  );
}
