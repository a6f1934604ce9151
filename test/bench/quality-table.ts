/**
 * `npm run bench:quality`: what each encoding costs the demo models, and what the cache's costs at 4,096 positions, as the Markdown tables of
 * README.md. KL and agreement are to the artefact with f32 weights, cache and activations.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { compile, type Manifest } from "../../compiler/index.ts";
import { artefactLogits, type LogitSource } from "../../compiler/evaluate/logit-source.ts";
import { score, type Score } from "../../compiler/evaluate/score.ts";
import { load, type Model } from "../../runtime/index.ts";
import { markdown } from "./markdown.ts";
import {
  cacheEncodings,
  demoMixture,
  demoModel,
  encodings,
  estimatedTokens,
  heldBackWindows,
  remembered,
  whole,
  type Encoding,
} from "./quality.ts";

const tableTokens = 2000;
const cachePositions = 4096;

interface Measured {
  readonly encoding: Encoding;
  readonly manifest: Manifest;
  readonly score: Score;
}

type Windows = readonly (readonly number[])[];

const folder = await mkdtemp(join(tmpdir(), "lfmc-quality-"));
try {
  const windows = await heldBackWindows(tableTokens);
  const dense = await measure(demoModel, [whole, ...encodings], windows);
  const mixture = await measure(demoMixture, [whole, ...encodings], windows);
  print(encodingTable(dense, mixture));
  print(
    comparison(await measure(demoModel, [whole, ...encodings.filter(({ estimate }) => estimate)], await heldBackWindows(estimatedTokens))),
  );
  print(cacheTable(await measure(demoModel, cacheEncodings, await heldBackWindows(cachePositions - 1))));
} finally {
  await rm(folder, { recursive: true, force: true });
}

function print(text: string): void {
  process.stdout.write(`${text}\n\n`);
}

/** Each of the encodings next to the first. */
async function measure(path: string, compared: readonly Encoding[], windows: Windows): Promise<readonly Measured[]> {
  const measured: Measured[] = [];
  let reference: LogitSource | null = null;
  const opened: Model[] = [];
  for (const encoding of compared) {
    process.stderr.write(`${path}: ${encoding.flags}\n`);
    const model = await open(path, encoding, Math.max(...windows.map(({ length }) => length)));
    opened.push(model);
    const source = artefactLogits(model);
    // One model cannot read a window for both sides at once.
    const ours = reference ? source : (reference = remembered(source));
    measured.push({ encoding, manifest: model.manifest, score: score(windows, ours, reference) });
    if (opened.length > 1) await opened.pop()?.dispose();
  }
  await opened.pop()?.dispose();
  return measured;
}

/** A model in an encoding, compiled and loaded. */
async function open(path: string, { options, flags }: Encoding, context: number): Promise<Model> {
  const output = join(folder, flags.replace(/[^a-z0-9]+/g, "-"));
  await compile({ ...options, model: path, target: "wasm-simd", output, context });
  const model = await load({ base: pathToFileURL(`${output}/`) });
  await rm(output, { recursive: true });
  return model;
}

function encodingTable(dense: readonly Measured[], mixture: readonly Measured[]): string {
  const rows = dense.map(({ encoding }, i) => [
    `\`${encoding.flags}\``,
    ...[dense[i], mixture[i]].flatMap((one) =>
      one ? [weightBytes(one), one.score.perplexity.toFixed(2), nats(one.score.kl), percent(one.score.top1)] : [],
    ),
  ]);
  const columns = ["weight bytes", "perplexity", "KL, nats", "same top token"];
  return markdown(["encoding", ...columns, ...columns.map((title) => `MoE: ${title}`)], rows);
}

function weightBytes({ manifest }: Measured): string {
  return manifest.weights.reduce((sum, { bytes }) => sum + bytes, 0).toLocaleString("en");
}

function cacheTable(measured: readonly Measured[]): string {
  const rows = measured.map(({ encoding, manifest, score: { kl, top1 } }) => {
    return [`\`${encoding.flags}\``, manifest.memory.state.slotBytes.toLocaleString("en"), nats(kl), percent(top1)];
  });
  return markdown(["encoding", `session bytes, ${cachePositions.toLocaleString("en")} positions`, "KL, nats", "same top token"], rows);
}

/** Ours next to PyTorch's estimates, on the same tokens. */
function comparison(measured: readonly Measured[]): string {
  const rows = measured.flatMap(({ encoding: { flags, estimate }, score: { kl, top1 } }) =>
    estimate ? [[`\`${flags}\``, nats(kl), nats(estimate.kl), percent(top1), percent(estimate.top1)]] : [],
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
