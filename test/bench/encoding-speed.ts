/**
 * `npm run bench:encodings`: weight bytes and decoding speed of each encoding, on the demo models and, with random weights, on the shape of a
 * published model, as a Markdown table of README.md: one thread, WebAssembly and C, medians; the hosts on stderr. Rounding does not show in speed,
 * so nothing is calibrated here.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { measureModel } from "../../compiler/bench/model.ts";
import { openArtefact } from "../../compiler/commands/open-artefact.ts";
import { compile, type CompileOptions } from "../../compiler/index.ts";
import { markdown } from "./markdown.ts";
import { demoMixture, demoModel } from "./quality.ts";

const shape = fileURLToPath(new URL("../golden/data/shapes/LFM2-350M/config.json", import.meta.url));
const models = {
  dense: { model: demoModel },
  MoE: { model: demoMixture },
  "350M": { model: shape, randomWeights: 1 },
} as const;
const targets = { WASM: "wasm-simd", C: process.arch === "arm64" ? "c-arm" : "c-x86" } as const;
const quants = ["q8_0", "q4_1", "q4_0", "q3_0"] as const;
const work = { prompt: 16, decode: 64, depth: 0 };

const folder = await mkdtemp(join(tmpdir(), "lfmc-encodings-"));
try {
  process.stderr.write(`Node ${process.versions.node}; ${cpus()[0]?.model ?? "unknown processor"}\n`);
  const rows: string[][] = [];
  for (const quant of quants) {
    const cells: string[] = [];
    for (const options of Object.values(models)) {
      const found = { bytes: 0, speeds: [] as string[] };
      for (const target of Object.values(targets)) {
        const { bytes, speed } = await measured({ ...options, target, quant });
        found.bytes = bytes;
        found.speeds.push(speed.toFixed(0));
      }
      cells.push(`${(found.bytes / 1e6).toFixed(1)} MB`, ...found.speeds);
    }
    rows.push([`\`--quant ${quant}\``, ...cells]);
  }
  const titles = Object.keys(models).flatMap((name) => [name, ...Object.keys(targets).map((target) => `${name}, ${target}`)]);
  process.stdout.write(`${markdown(["encoding", ...titles], rows)}\n`);
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Decoded tokens a second of a model in an encoding, by the variant that loads by default. */
async function measured(options: CompileOptions): Promise<{ readonly bytes: number; readonly speed: number }> {
  const output = join(folder, "artefact");
  await compile({ ...options, output, context: 128 });
  const model = await openArtefact(output, { threads: 1 });
  process.stderr.write(`${options.model}, ${options.target}, ${options.quant ?? ""}: ${model.variant?.name ?? ""}\n`);
  const { decodeTokensPerSecond: speed } = measureModel(model, work);
  const bytes = model.manifest.weights.reduce((sum, part) => sum + part.bytes, 0);
  await model.dispose();
  await rm(output, { recursive: true });
  return { bytes, speed };
}
