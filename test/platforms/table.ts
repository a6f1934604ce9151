/**
 * `npm run platforms`: the demo models, dense and mixture of experts, on every platform, by every variant, in one thread and in two, and
 * as C libraries through foreign function interfaces. A row has one greedy answer and the logits after each of its tokens; they are those
 * of the graph interpreter, which defines the bits, or the command fails. It fails too where a platform lacks more, or less, than it is
 * known to.
 */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile } from "../../compiler/index.ts";
import { buildLibrary } from "../../compiler/native/build.ts";
import { parseManifest } from "../../runtime/index.ts";
import { markdown } from "../bench/markdown.ts";
import { root } from "../model/support.ts";
import { expectedOutcome } from "./expected.ts";
import { Browsers, knownLack, platformsWith, type Case, type Outcome, type Platform } from "./platforms.ts";

/** By the name of the demo model, how the table calls it. */
const models = { "demo-model": "dense", "demo-moe": "MoE" } as const;
const prompt = "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife.";
const count = 64;
const digitCount = 12;
const titles = [
  "platform",
  "version",
  "variant",
  "threads",
  ...Object.values(models).flatMap((name) => [`${name}: ids`, "logits"]),
  "same",
];

/** A model compiled in both ways, and what it must give. */
interface Model {
  readonly wasm: string;
  readonly native: string;
  readonly expected: Outcome;
}

/** One case of all models on one platform. */
interface Row {
  readonly cells: readonly string[];
  /** Whether it gives what the interpreter does; null where it is not expected to run. */
  readonly same: boolean | null;
}

const folder = await mkdtemp(join(tmpdir(), "lfmc-platforms-"));
const browsers = new Browsers();
try {
  // Where Node finds koffi.
  await symlink(join(root, "node_modules"), join(folder, "node_modules"));
  const compiled: Model[] = [];
  for (const name of Object.keys(models)) compiled.push(await compileModel(name));
  const rows: Row[] = [interpreterRow(compiled)];
  for (const platform of platformsWith(browsers)) rows.push(...(await rowsOf(platform, compiled)));
  const ran = rows.filter(({ same }) => same !== null);
  const equal = ran.filter(({ same }) => same);
  const cells = rows.map((row) => row.cells);
  process.stdout.write(`${markdown(titles, cells)}\n\n${equal.length} of ${ran.length} the same\n`);
  process.exitCode = equal.length === ran.length ? 0 : 1;
} finally {
  await browsers.close();
  await rm(folder, { recursive: true, force: true });
}

async function compileModel(name: string): Promise<Model> {
  const model = join(root, "examples", name);
  const [wasm, native] = [join(folder, name, "wasm"), join(folder, name, "c")];
  await mkdir(join(folder, name));
  await compile({ model, target: "wasm-simd", output: wasm });
  await compile({ model, target: process.arch === "arm64" ? "c-arm" : "c-x86", output: native });
  await buildLibrary(native, parseManifest(JSON.parse(await readFile(join(native, "manifest.json"), "utf8"))));
  progress(`${name}: compiled`);
  const expected = await expectedOutcome(model, wasm, prompt, count);
  progress(`${name}: interpreted`);
  return { wasm, native, expected };
}

function interpreterRow(compiled: readonly Model[]): Row {
  return { cells: ["graph interpreter", "", "", "", ...compiled.flatMap(({ expected }) => digits(expected)), ""], same: null };
}

async function rowsOf(platform: Platform, compiled: readonly Model[]): Promise<readonly Row[]> {
  const { name, isNative } = platform;
  const variants = isNative ? [null] : ["simd128", "relaxed"];
  const cases = [1, 2].flatMap((threads) => variants.map((variant): Case => ({ prompt, count, variant, threads })));
  const engine = platform.find();
  const nothing = compiled.flatMap(() => ["–", "–"]);
  if (!engine.available) return [{ cells: [name, "–", "–", "–", ...nothing, `– ${engine.reason}`], same: null }];
  const version = await platform.version(engine.path);
  const outcomes: (readonly Outcome[])[] = [];
  for (const { wasm, native } of compiled) outcomes.push(await outcomesOn(platform, engine.path, isNative ? native : wasm, cases));
  progress(name);
  return cases.map((each, i) => {
    const found = outcomes.map((list) => list[i] ?? { lacks: "nothing" });
    const { same, words } = verdict(found, compiled, knownLack(platform, each));
    const [variant = each.variant ?? "–"] = found.flatMap((outcome) => ("lacks" in outcome ? [] : [outcome.variant]));
    return { cells: [name, version, variant, String(each.threads), ...found.flatMap(digits), words], same };
  });
}

/** An error is what every case lacks. */
async function outcomesOn(platform: Platform, engine: string, artefact: string, cases: readonly Case[]): Promise<readonly Outcome[]> {
  const work = await mkdtemp(join(folder, "work-"));
  const failed = (error: unknown): readonly Outcome[] => cases.map(() => ({ lacks: String(error).replace(/\s+/g, " ") }));
  return await platform.run(engine, artefact, cases, work).catch(failed);
}

function verdict(found: readonly Outcome[], compiled: readonly Model[], lack: string | null): { same: boolean | null; words: string } {
  const lacks = found.flatMap((outcome) => ("lacks" in outcome ? [outcome.lacks] : []));
  if (lack !== null && lacks.length === found.length) return { same: null, words: `– ${lack}` };
  if (lack !== null) return { same: false, words: `no: it ran, though ${lack}` };
  if (lacks.length > 0) return { same: false, words: `no: ${lacks.join("; ")}` };
  const same = found.every((outcome, i) => sums(outcome) === sums(compiled[i]?.expected));
  return { same, words: same ? "yes" : "no" };
}

/** Of ids and of logits. */
function sums(outcome: Outcome | undefined): string {
  if (outcome === undefined || "lacks" in outcome) return "– –";
  return `${createHash("sha256").update(outcome.ids.join(",")).digest("hex")} ${outcome.logits}`;
}

function digits(outcome: Outcome): readonly string[] {
  return sums(outcome)
    .split(" ")
    .map((sum) => sum.slice(0, digitCount));
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}
