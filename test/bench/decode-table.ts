/**
 * `npm run bench:decode`: forward passes a token of every way to decode, for the demo model and its consistency-tuned version, as the Markdown table
 * of README.md. It runs every variant of every target that this machine has, and fails where one of them gives other token ids.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openArtefact } from "../../compiler/commands/open-artefact.ts";
import { compile, type Manifest } from "../../compiler/index.ts";
import { runsVariant } from "../../compiler/native/processor.ts";
import { detectFeatures } from "../../runtime/features.ts";
import type { Decode, Model } from "../../runtime/index.ts";
import { markdown } from "./markdown.ts";
import { demoModel, heldBackPrompts } from "./quality.ts";

const maxTokens = 64;
const prompts = await heldBackPrompts(200, 32);

const models = { "demo model": demoModel, "consistency-tuned": join(demoModel, "consistency") };
const targets = ["wasm-simd", process.arch === "arm64" ? "c-arm" : "c-x86"] as const;
const decodes: readonly Decode[] = ["greedy", "jacobi", "lookup"];
/** The settings of examples/demo-model/generation_config.json are the second. */
const samplings = [
  { name: "likeliest", options: { temperature: 0 } },
  { name: "T 0.7, top-k 40", options: { temperature: 0.7, topK: 40 } },
];

interface Run {
  readonly ids: string;
  /** Of the tokens after each prompt's first, which its prefill gives. */
  readonly passesPerToken: number;
  readonly tokensPerSecond: number;
}

const folder = await mkdtemp(join(tmpdir(), "lfmc-decode-"));
try {
  const rows: string[][] = [];
  for (const [name, model] of Object.entries(models)) {
    /** What came out first, by sampling: every other run must give the same. */
    const expected = new Map<string, Map<Decode, Run>>();
    const ways: string[] = [];
    for (const target of targets) {
      const output = join(folder, `${target}-${Object.keys(models).indexOf(name)}`);
      const { artefact } = await compile({ model, target, output, context: 128 });
      for (const way of artefact ? waysToRun(artefact.manifest) : []) {
        const label = `${target} ${way.variant}, ${way.threads} ${way.threads > 1 ? "threads" : "thread"}`;
        process.stderr.write(`${name}: ${label}\n`);
        ways.push(label);
        const opened = await openArtefact(output, way);
        // One variant shows that sampling is lossless; that all of them sample alike follows from the same logits.
        for (const sampling of ways.length === 1 ? samplings : samplings.slice(0, 1))
          expected.set(sampling.name, await compareDecodes(opened, sampling, expected.get(sampling.name), `${name}, ${label}`));
        await opened.dispose();
      }
    }
    for (const [sampling, runs] of expected)
      rows.push([`${name}, ${sampling}`, ...decodes.map((decode) => decimals(runs.get(decode)?.passesPerToken))]);
    process.stderr.write(`${name}: the same ids for ${prompts.length} prompts by ${decodes.join(", ")} on ${ways.join("; ")}\n`);
  }
  process.stdout.write(`${markdown(["forward passes a token", ...decodes], rows)}\n`);
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Variants and thread counts that this machine runs. */
function waysToRun({ target, variants }: Manifest): readonly { readonly variant: string; readonly threads: number }[] {
  if (target !== "wasm-simd")
    return variants.filter(({ name }) => runsVariant(name)).flatMap(({ name }) => [1, 2].map((threads) => ({ variant: name, threads })));
  const features = detectFeatures();
  const runs = variants.filter((variant) => variant.features.every((feature) => features.has(feature)));
  return runs.map(({ name, threads }) => ({ variant: name, threads: threads ? 2 : 1 }));
}

/** Runs all prompts by every decoder; returns the runs known first. Throws where token ids differ. */
async function compareDecodes(
  model: Model,
  { name, options }: (typeof samplings)[number],
  known: Map<Decode, Run> | undefined,
  place: string,
): Promise<Map<Decode, Run>> {
  const runs = new Map<Decode, Run>();
  for (const decode of decodes) {
    const run = await runPrompts(model, { ...options, decode });
    const first = known?.get("greedy") ?? runs.get("greedy") ?? run;
    if (run.ids !== first.ids) throw new Error(`${place}, ${name}: ${decode} gives other token ids`);
    process.stderr.write(
      `  ${name}, ${decode}: ${decimals(run.passesPerToken)} passes a token, ${Math.round(run.tokensPerSecond)} tokens/s\n`,
    );
    runs.set(decode, run);
  }
  return known ?? runs;
}

async function runPrompts(model: Model, options: { readonly temperature: number; readonly decode: Decode }): Promise<Run> {
  const session = model.createSession();
  const ids: (readonly number[])[] = [];
  let [passes, seconds] = [0, 0];
  for (const [seed, prompt] of prompts.entries()) {
    session.reset();
    const { tokens, stats } = await session.complete(prompt, { ...options, seed, maxTokens, repetitionPenalty: 1 });
    ids.push(tokens);
    passes += stats.forwardPasses - 1;
    if (stats.decodeTokensPerSecond > 0) seconds += (tokens.length - 1) / stats.decodeTokensPerSecond;
  }
  session.release();
  const decoded = ids.reduce((sum, { length }) => sum + length - 1, 0);
  return { ids: JSON.stringify(ids), passesPerToken: passes / decoded, tokensPerSecond: decoded / seconds };
}

function decimals(value: number | undefined): string {
  return (value ?? NaN).toFixed(3);
}
