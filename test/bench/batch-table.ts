/**
 * `npm run bench:batch`: tokens a second of one session and of eight that generate at the same time, LFM2-350M's shape with random weights, as the
 * Markdown table of README.md. Every session must give the tokens and log-probabilities that it gives alone, or it fails.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openArtefact } from "../../compiler/commands/open-artefact.ts";
import { compile } from "../../compiler/index.ts";
import { findCompiler } from "../../compiler/native/compiler.ts";
import type { Model, Session } from "../../runtime/index.ts";
import { markdown } from "./markdown.ts";

const sessions = 8;
const promptLength = 32;
const maxTokens = 64;
const rounds = 3;
const targets = ["wasm-simd", process.arch === "arm64" ? "c-arm" : "c-x86"] as const;
const shape = fileURLToPath(new URL("../golden/data/shapes/LFM2-350M", import.meta.url));

const folder = await mkdtemp(join(tmpdir(), "lfmc-batch-"));
try {
  const rows: string[][] = [];
  for (const target of targets) {
    const output = join(folder, target);
    await compile({ model: shape, target, output, randomWeights: 1, sessions, context: 256 });
    for (const threads of [1, 2]) {
      const model = await openArtefact(output, { threads });
      process.stderr.write(`${target} ${model.variant?.name ?? ""}, ${threads} threads\n`);
      rows.push(await measure(model));
      await model.dispose();
    }
  }
  process.stdout.write(`${markdown(["tokens a second", "one session", "eight at once", "ratio"], rows)}\n\n${await engines()}\n`);
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function engines(): Promise<string> {
  const { node, v8 } = process.versions;
  return `Medians of ${rounds} rounds; ${cpus()[0]?.model.trim() ?? "unknown"}; Node ${node}, V8 ${v8}; ${(await findCompiler()).version}.`;
}

/** Alternates between one session and all of them; medians. */
async function measure(model: Model): Promise<string[]> {
  const open = Array.from({ length: sessions }, () => model.createSession());
  const alone: string[] = [];
  for (const [i, session] of open.entries()) alone.push(await generate(session, i, 2));
  const together = await Promise.all(open.map((session, i) => generate(session, i, 2)));
  if (together.some((text, i) => text !== alone[i])) throw new Error("a session gives something else among others than alone");
  const [one, all]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    one.push(await rate(1, () => generate(open[0] ?? model.createSession(), round)));
    all.push(await rate(sessions, () => Promise.all(open.map((session, i) => generate(session, round * sessions + i)))));
  }
  const [single, batched] = [median(one), median(all)];
  return [
    `${model.manifest.target} ${model.variant?.name ?? ""}, ${model.threads} threads`,
    single.toFixed(1),
    batched.toFixed(1),
    (batched / single).toFixed(2),
  ];
}

/** A prompt of its own for each `seed`, and what comes of it: tokens, and with `logprobs` how likely they were. */
async function generate(session: Session, seed: number, logprobs?: number): Promise<string> {
  session.reset();
  const prompt = Array.from({ length: promptLength }, (_, i) => (seed * 977 + i * 131) % 60_000);
  const parts = [];
  for await (const part of session.generate(prompt, { maxTokens, ignoreEos: true, temperature: 0, repetitionPenalty: 1, logprobs }))
    parts.push(part);
  return JSON.stringify(parts);
}

/** Generated tokens a second, prompts included in the time. */
async function rate(count: number, run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return (count * maxTokens * 1000) / (performance.now() - start);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}
