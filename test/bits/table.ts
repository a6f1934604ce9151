/**
 * `npm run bits`: one table of the sha256 of every golden case's logits, computed by the graph interpreter, by every WebAssembly module in one to
 * three threads, and by every C unit, with two compilers at three levels of optimisation, in one and two threads. All rows are equal, or the
 * command fails.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { goldenCases } from "../golden/read.ts";
import {
  buildProject,
  createModules,
  createProject,
  interpretedDigest,
  moduleDigest,
  moduleObstacle,
  programDigest,
  type BitsCase,
  type ModuleRun,
  type Project,
} from "./logits.ts";
import { obstacle, toolchains, units, type Toolchain, type Unit } from "./toolchains.ts";

const cases: readonly BitsCase[] = goldenCases.flatMap((model) => (["q4_0", "q8_0"] as const).map((quant) => ({ model, quant })));
const levels = ["-O1", "-O2", "-O3"];
const threadCounts = [1, 2];
const variants = ["simd128", "relaxed"] as const;
/** Three is more than many machines have, and divides nothing evenly. */
const moduleThreadCounts = [1, 2, 3];

/** One way to compute logits; a digest a case, or why it cannot be done here. */
interface Row {
  readonly name: string;
  readonly digests: string[];
  readonly skipped: string | null;
}

const folder = await mkdtemp(join(tmpdir(), "lfmc-bits-"));
try {
  const rows: Row[] = [];
  const progress = (text: string): void => void process.stderr.write(`${text}\n`);
  rows.push({ name: "graph interpreter", skipped: null, digests: await eachCase(interpretedDigest) });
  progress("interpreted");
  rows.push(...(await moduleRows()));
  progress("run as WebAssembly");
  const projects: Record<Toolchain["target"], readonly Project[]> = {
    "c-x86": await eachCase((each, i) => createProject(each, "c-x86", join(folder, `x86-${i}`))),
    "c-arm": await eachCase((each, i) => createProject(each, "c-arm", join(folder, `arm-${i}`))),
  };
  for (const toolchain of Object.values<Toolchain>(toolchains)) {
    for (const level of levels) {
      rows.push(...(await programRows(toolchain, level, projects[toolchain.target])));
      progress(`${toolchain.target}, ${toolchain.name} ${level}`);
    }
  }
  print(rows);
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function moduleRows(): Promise<readonly Row[]> {
  const runs = variants.flatMap((variant) => moduleThreadCounts.map((threads): ModuleRun => ({ variant, threads })));
  const artefacts = await eachCase((each, i) => createModules(each, join(folder, `wasm${i}`)));
  const rows: Row[] = [];
  for (const run of runs) {
    const skipped = moduleObstacle(run);
    const digests = skipped === null ? await eachOf(artefacts, (artefact) => moduleDigest(artefact, run)) : [];
    rows.push({ name: `WASM ${run.variant}, ${inThreads(run.threads)}`, digests, skipped });
  }
  return rows;
}

function inThreads(count: number): string {
  return `${count} thread${count > 1 ? "s" : ""}`;
}

async function programRows(toolchain: Toolchain, level: string, projects: readonly Project[]): Promise<readonly Row[]> {
  const own = units.filter(({ target }) => target === toolchain.target);
  const named = (unit: Unit, threads: number): string => `C ${unit.variant}, ${toolchain.name} ${level}, ${inThreads(threads)}`;
  const missing = (unit: Unit): string | null => obstacle(unit, toolchain);
  const runnable = own.filter((unit) => missing(unit) === null);
  const rows = own.flatMap((unit) =>
    threadCounts.map((threads): Row => ({ name: named(unit, threads), digests: [], skipped: missing(unit) })),
  );
  if (runnable.length === 0) return rows;
  const digests = await eachOf(projects, async (project) => {
    const program = await buildProject(project, toolchain, [level]);
    const found = new Map<string, string>();
    for (const unit of runnable)
      for (const threads of threadCounts) found.set(named(unit, threads), await programDigest(program, project, toolchain, unit, threads));
    return found;
  });
  for (const { name, digests: list } of rows) for (const found of digests) list.push(found.get(name) ?? "");
  return rows;
}

function eachCase<Result>(use: (each: BitsCase, index: number) => Promise<Result>): Promise<Result[]> {
  return eachOf(cases, use);
}

/** As many at a time as there are processors; results in order. */
async function eachOf<Item, Result>(items: readonly Item[], use: (item: Item, index: number) => Promise<Result>): Promise<Result[]> {
  const results = new Array<Result>(items.length);
  const queue = [...items.entries()];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next; next = queue.shift()) results[next[0]] = await use(next[1], next[0]);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return results;
}

/** The first digits of each digest; exit status 1 where one differs from the interpreter's. */
function print(rows: readonly Row[]): void {
  const [first] = rows;
  const width = Math.max(...rows.map(({ name }) => name.length));
  const titles = cases.map(({ model, quant }) => `${model.replace("dense-", "")} ${quant ?? ""}`.padEnd(12));
  const lines = rows.map(({ name, digests, skipped }) => {
    const cells =
      skipped === null
        ? digests.map((digest, i) => (digest === first?.digests[i] ? digest.slice(0, 12) : `${digest.slice(0, 10)}!!`))
        : [`skipped: ${skipped}`];
    return `${name.padEnd(width)}  ${cells.join("  ")}`;
  });
  const different = rows.filter(({ digests, skipped }) => skipped === null && digests.some((digest, i) => digest !== first?.digests[i]));
  const skipped = rows.filter((row) => row.skipped !== null).length;
  process.stdout.write(`${["".padEnd(width), ...titles].join("  ")}\n${lines.join("\n")}\n`);
  process.stdout.write(
    `${rows.length - skipped} rows of ${cases.length} cases${skipped > 0 ? `, ${skipped} skipped` : ""}: ${different.length === 0 ? "all equal" : `${different.length} differ`}\n`,
  );
  process.exitCode = different.length === 0 ? 0 : 1;
}
