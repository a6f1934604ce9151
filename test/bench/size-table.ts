/** `npm run size`: what a user downloads of the runtime, as a table; exit status 1 where the core has grown beyond its bound. */
import { markdown } from "./markdown.ts";
import { bundleSizes, coreBound } from "./size.ts";

const sizes = await bundleSizes();
const rows = sizes.map(({ file, use, minified, gzipped, brotli }) => [`${file}: ${use}`, ...[minified, gzipped, brotli].map(String)]);
process.stdout.write(`${markdown(["bundle, in bytes", "minified", "gzipped", "brotli"], rows)}\n`);
const [core] = sizes;
if (core && core.gzipped >= coreBound) {
  process.stderr.write(`${core.file} has ${core.gzipped} bytes gzipped, of less than ${coreBound} that are promised\n`);
  process.exitCode = 1;
}
