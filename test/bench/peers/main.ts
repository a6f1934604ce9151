/**
 * `npm run bench:peers`: lfmc beside other ways to run the same model on a processor, in turn, A B A B. What each contender is, stands in
 * `contenders/`.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { basename, dirname, join } from "node:path";
import { required } from "../../../compiler/errors.ts";
import { chart } from "./chart.ts";
import { encodings, type Contender, type ModelKind } from "./contenders/contender.ts";
import { contenders } from "./contenders/index.ts";
import { contextOf, type Work } from "./figures.ts";
import { readFlags, type Flags } from "./flags.ts";
import { quiet, waitForIdle } from "./idle.ts";
import { checkSameSize, prepareModel, type PreparedModel } from "./models.ts";
import { installPackages } from "./packages.ts";
import { rateTitles, report, type Occasion } from "./report.ts";
import { rowsOf, type Result } from "./results.ts";

/** Samples at depth are taken in a row, since it is the way there that takes long. */
const deepSamples = 3;

const flags = readFlags(process.argv.slice(2));
const missing: string[] = [];
const say = (line: string): void => void process.stderr.write(`${line}\n`);

const wanted = contenders.filter(({ name }) => flags.only?.includes(name) ?? true);
await installPackages();
const ready = await prepared(wanted);
const works = [...shallowWorks(flags), ...deepWorks(flags)];
const models = await modelsOf(ready, works);
const results: Result[] = [];
for (const work of works) {
  for (const contender of ready.filter((each) => takesPart(each, work, results))) {
    const result = await measured(contender, required(models.get(contender.model), contender.model).path, work);
    if (result) results.push(result);
  }
}
await writeReport(await occasionOf(), results);

/** Those that run here, built. */
async function prepared(all: readonly Contender[]): Promise<readonly Contender[]> {
  const able: Contender[] = [];
  for (const contender of all) {
    const obstacle = contender.obstacle() ?? (await failureOf(contender.prepare));
    if (obstacle === null) able.push(contender);
    else miss(`${contender.title}: ${obstacle}`);
  }
  return able;
}

async function failureOf(run: () => Promise<void>): Promise<string | null> {
  return await run().then(() => null, reasonOf);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function miss(line: string): void {
  say(`skipped, ${line}`);
  missing.push(line);
}

function takesPart(contender: Contender, { threads, depth }: Work, before: readonly Result[]): boolean {
  if (depth > 0) return contender.goesDeep;
  return before.filter((result) => result.contender === contender && result.work.threads === threads).length < contender.mostRounds;
}

/** Round by round, so that whatever changes meanwhile changes for all. */
function shallowWorks({ rounds, threads, prompt, decode }: Flags): readonly Work[] {
  return Array.from({ length: rounds }, () => threads.map((count) => ({ threads: count, prompt, decode, depth: 0, samples: 1 }))).flat();
}

function deepWorks({ threads, prompt, decode, depth }: Flags): readonly Work[] {
  return depth === 0 ? [] : threads.map((count) => ({ threads: count, prompt, decode, depth, samples: deepSamples }));
}

async function modelsOf(able: readonly Contender[], all: readonly Work[]): Promise<ReadonlyMap<ModelKind, PreparedModel>> {
  const shape = { name: shapeName(flags.shape), path: flags.shape, context: Math.max(...all.map(contextOf)), kv: flags.kv };
  const byKind = new Map<ModelKind, PreparedModel>();
  for (const kind of new Set(able.map(({ model }) => model))) {
    say(`making the model, ${kind}`);
    byKind.set(kind, await prepareModel(kind, shape));
  }
  checkSameSize([...byKind].flatMap(([kind, model]) => (encodings[kind] === "q4_0" ? [model] : [])));
  return byKind;
}

function shapeName(path: string): string {
  return basename(path.endsWith(".json") ? dirname(path) : path);
}

async function measured(contender: Contender, path: string, work: Work): Promise<Result | null> {
  const busyCores = await waitForIdle();
  say(
    `${contender.name}, threads ${work.threads}, depth ${work.depth}${busyCores < quiet ? "" : `, beside ${busyCores.toFixed(1)} busy cores`}`,
  );
  try {
    return { contender, work, busyCores, figures: await contender.measure(path, work) };
  } catch (error) {
    miss(`${contender.title}, threads ${work.threads}, depth ${work.depth}: ${reasonOf(error)}`);
    return null;
  }
}

async function occasionOf(): Promise<Occasion> {
  const versions: [string, string][] = [];
  for (const { title, version } of ready) versions.push([title, await version()]);
  return {
    ...flags,
    shape: shapeName(flags.shape),
    cpu: cpus()[0]?.model.trim() ?? "unknown processor",
    cores: cpus().length,
    memoryBytes: totalmem(),
    date: new Date().toISOString(),
    weightBytes: Object.fromEntries([...models].map(([kind, { weightBytes }]) => [`${kind} (${encodings[kind]})`, weightBytes])),
    versions: Object.fromEntries(versions),
    repetitions: results.length,
    disturbed: results.filter(({ busyCores }) => busyCores >= quiet).length,
    missing: [...new Set(missing)],
  };
}

async function writeReport(occasion: Occasion, all: readonly Result[]): Promise<void> {
  const rows = rowsOf(all).toSorted((a, b) => a.threads - b.threads);
  const samples = all.map(({ contender, work, busyCores, figures }) => ({ contender: contender.name, ...work, busyCores, ...figures }));
  const text = report(occasion, rows);
  const files = {
    "peers.md": text,
    "peers.svg": chart(rows, rateTitles(occasion)),
    "peers.json": `${JSON.stringify({ ...occasion, samples }, null, 2)}\n`,
  };
  await mkdir(flags.out, { recursive: true });
  for (const [name, content] of Object.entries(files)) await writeFile(join(flags.out, name), content);
  process.stdout.write(text);
  say(`written to ${flags.out}: ${Object.keys(files).join(", ")}`);
}
