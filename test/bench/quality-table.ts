/**
 * `npm run bench:quality`: what each encoding costs the demo model, as the Markdown tables of README.md. KL and agreement are to the
 * artefact with f32 weights, cache and activations.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { compile, type Manifest } from "../../compiler/index.ts";
import { artefactLogits } from "../../compiler/evaluate/logit-source.ts";
import { score, type Score } from "../../compiler/evaluate/score.ts";
import { load, type Model } from "../../runtime/index.ts";
import { markdown } from "./markdown.ts";
import { demoModel, encodings, estimatedTokens, heldBackWindows, remembered, whole, type Encoding } from "./quality.ts";

const tableTokens = 2000;

interface Measured {
  readonly encoding: Encoding;
  readonly manifest: Manifest;
  /** Over `tableTokens` of each novel. */
  readonly long: Score;
  /** Over `estimatedTokens` of each. */
  readonly short: Score;
}

const folder = await mkdtemp(join(tmpdir(), "lfmc-quality-"));
try {
  const reference = remembered(artefactLogits(await open(whole)));
  const [long, short] = [await heldBackWindows(tableTokens), await heldBackWindows(estimatedTokens)];
  const measured: Measured[] = [];
  for (const encoding of [whole, ...encodings]) {
    process.stderr.write(`${encoding.flags}\n`);
    const model = await open(encoding);
    const source = artefactLogits(model);
    measured.push({ encoding, manifest: model.manifest, long: score(long, source, reference), short: score(short, source, reference) });
    await model.dispose();
  }
  process.stdout.write(`${table(measured)}\n\n${comparison(measured)}\n`);
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** The demo model in an encoding, compiled and loaded. */
async function open({ options, flags }: Encoding): Promise<Model> {
  const output = join(folder, flags.replace(/[^a-z0-9]+/g, "-"));
  await compile({ ...options, model: demoModel, target: "wasm-simd", output, context: tableTokens + 1 });
  const model = await load({ base: pathToFileURL(`${output}/`) });
  await rm(output, { recursive: true });
  return model;
}

function table(measured: readonly Measured[]): string {
  const rows = measured.map(({ encoding, manifest, long }) => {
    const weightBytes = manifest.weights.reduce((sum, { bytes }) => sum + bytes, 0);
    const moduleBytes = manifest.variants[0]?.bytes ?? NaN;
    const sizes = [weightBytes, manifest.memory.state.slotBytes, moduleBytes].map((bytes) => bytes.toLocaleString("en"));
    return [`\`${encoding.flags}\``, ...sizes, long.perplexity.toFixed(2), nats(long.kl), percent(long.top1)];
  });
  return markdown(["encoding", "weight bytes", "session bytes", "module bytes", "perplexity", "KL, nats", "same top token"], rows);
}

/** Ours next to PyTorch's estimates, on the same tokens. */
function comparison(measured: readonly Measured[]): string {
  const rows = measured.flatMap(({ encoding: { flags, estimate }, short }) =>
    estimate ? [[`\`${flags}\``, nats(short.kl), nats(estimate.kl), percent(short.top1), percent(estimate.top1)]] : [],
  );
  return markdown(["encoding", "KL", "PyTorch's", "same top token", "PyTorch's"], rows);
}

function nats(kl: number | null): string {
  if (kl === null || kl === 0) return "0";
  return kl < 1e-5 ? kl.toExponential(1) : kl.toFixed(kl < 1e-3 ? 6 : 4);
}

function percent(share: number | null): string {
  return `${(100 * (share ?? NaN)).toFixed(2)} %`;
}
