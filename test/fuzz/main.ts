/**
 * `npm run fuzz`: cases of every target in processes of their own, two at a time, each ended when a case hangs. Prints what came of them; a
 * case that broke a bound is written to build/fuzz, and the exit status is 1. The same seed gives the same cases.
 *
 *     node test/fuzz/main.ts [--cases N] [--seed S] [--target NAME] [--case INDEX]
 */
import { fork } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { caseOf } from "./run-case.ts";
import { targets } from "./targets.ts";
import type { Target } from "./target.ts";
import type { Batch, Told } from "./worker.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const batchCases = 5000;
const hangSeconds = 30;
const heapMegabytes = 1024;
/** So many faults of a target are told; then it is given up. */
const mostFaults = 8;

const { values } = parseArgs({
  options: {
    cases: { type: "string", default: "210000" },
    seed: { type: "string", default: String(Math.floor(Date.now() / 1000)) },
    target: { type: "string" },
    case: { type: "string" },
  },
});
const seed = Number(values.seed);
const chosen = targets.filter(({ name }) => values.target === undefined || values.target === name);
if (chosen.length === 0) throw new Error(`targets are ${targets.map(({ name }) => name).join(", ")}`);
const single = values.case === undefined ? null : Number(values.case);
const shares = chosen.reduce((sum, { share }) => sum + share, 0);
const casesOf = ({ share }: Target): number => Math.ceil((Number(values.cases) * share) / shares);

interface Tally {
  cases: number;
  compiles: number;
  slowest: Told | null;
  largest: Told | null;
  readonly outcomes: Map<string, number>;
  readonly faults: Fault[];
}

interface Fault {
  readonly index: number;
  readonly fault: string;
}

const folder = await mkdtemp(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "lfmc-fuzz-"));
const tallies = new Map<string, Tally>();
const start = performance.now();
print(`seed ${seed}, ${chosen.length} targets`);
try {
  const batches: Batch[] = [];
  for (const target of chosen) {
    const base = join(folder, target.name);
    await mkdir(base);
    await target.prepare(base);
    tallies.set(target.name, { cases: 0, compiles: 0, slowest: null, largest: null, outcomes: new Map(), faults: [] });
    const [from, to] = single === null ? [0, casesOf(target)] : [single, single + 1];
    for (let first = from; first < to; first += batchCases)
      batches.push({ target: target.name, seed, first, end: Math.min(to, first + batchCases), base, folder: "" });
  }
  // Targets take turns, so that a run that is cut short has seen all of them.
  batches.sort((a, b) => a.first - b.first);
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, () => workThrough(batches)));
  for (const target of chosen) await report(target);
} finally {
  await rm(folder, { recursive: true, force: true });
}
const all = [...tallies.values()];
const sum = (figure: (tally: Tally) => number): number => all.reduce((total, tally) => total + figure(tally), 0);
const seconds = (performance.now() - start) / 1000;
print(
  `${sum(({ cases }) => cases)} cases, ${sum(({ compiles }) => compiles)} whole compiles in ${seconds.toFixed(0)} s; ${sum(({ faults }) => faults.length)} faults`,
);
process.exitCode = sum(({ faults }) => faults.length) > 0 ? 1 : 0;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function workThrough(batches: Batch[]): Promise<void> {
  for (let batch = batches.shift(); batch; batch = batches.shift()) {
    const tally = tallies.get(batch.target);
    let next: number | null = batch.first;
    while (tally && next !== null && next < batch.end && tally.faults.length < mostFaults)
      next = await runBatch({ ...batch, first: next }, tally);
  }
}

/** Runs a batch in a process; returns the case after the one that ended it, or null where it ran to its end. */
async function runBatch(batch: Batch, tally: Tally): Promise<number | null> {
  const own = await mkdtemp(join(folder, "worker-"));
  const path = fileURLToPath(new URL("worker.ts", import.meta.url));
  const child = fork(path, { execArgv: [`--max-old-space-size=${heapMegabytes}`], stdio: ["ignore", "ignore", "pipe", "ipc"] });
  let [words, hung, seen, since] = ["", false, "", performance.now()];
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (words = (words + text).slice(-2000)));
  child.on("message", (told: readonly Told[]) => {
    for (const one of told) {
      count(tally, one);
      if (one.fault !== null) print(`${batch.target}, case ${one.index}: ${one.fault.split("\n")[0] ?? ""}`);
    }
  });
  const watch = setInterval(() => {
    void readFile(join(own, "place"), "utf8").then(
      (place) => {
        if (place !== seen) [seen, since] = [place, performance.now()];
        else if (performance.now() - since > 1000 * hangSeconds) hung = child.kill("SIGKILL");
      },
      () => undefined,
    );
  }, 500);
  child.send({ ...batch, folder: own });
  const status = await new Promise<string>((resolve) => {
    child.on("close", (code, signal) => {
      resolve(String(code ?? signal));
    });
  });
  clearInterval(watch);
  const place = await readFile(join(own, "place"), "utf8").catch(() => "");
  await rm(own, { recursive: true, force: true });
  if (status === "0") return null;
  const index = place.trim() === "" ? batch.first : Number(place);
  tally.faults.push({ index, fault: hung ? `took more than ${hangSeconds} s` : `ended its process with ${status}: ${words}` });
  return index + 1;
}

function count(tally: Tally, told: Told): void {
  const { outcome, fault, index, compiled } = told;
  if (compiled) tally.compiles++;
  else {
    tally.cases++;
    tally.outcomes.set(outcome, (tally.outcomes.get(outcome) ?? 0) + 1);
    if (told.seconds > (tally.slowest?.seconds ?? 0)) tally.slowest = told;
    if (told.bytes > (tally.largest?.bytes ?? 0)) tally.largest = told;
  }
  if (fault !== null) tally.faults.push({ index, fault: compiled ? `compiled whole: ${fault}` : fault });
}

/** Prints what came of a target's cases, and writes those that broke a bound. */
async function report(target: Target): Promise<void> {
  const tally = tallies.get(target.name);
  if (!tally) return;
  const { cases, compiles, slowest, largest, outcomes, faults } = tally;
  const words = [...outcomes].toSorted(([, a], [, b]) => b - a).map(([outcome, times]) => `${outcome} ${times}`);
  print(`${target.name}: ${cases} cases, ${compiles} compiles; ${words.join(", ")}`);
  if (slowest) print(`  slowest ${slowest.seconds.toFixed(2)} s (case ${slowest.index})`);
  if (largest) print(`  most memory ${Math.round(largest.bytes / 1e6)} MB (case ${largest.index})`);
  if (faults.length === 0) return;
  const open = await target.open(join(folder, target.name));
  await mkdir(join(root, "build", "fuzz"), { recursive: true });
  for (const { index, fault } of faults) {
    const one = caseOf(open, target.name, seed, index);
    const path = join("build", "fuzz", `${target.name}-${seed}-${index}.${basename(one.path)}`);
    await writeFile(join(root, path), one.bytes);
    print(
      `  FAULT --target ${target.name} --seed ${seed} --case ${index} (${one.path}, written to ${path})\n    ${fault.replaceAll("\n", "\n    ")}`,
    );
  }
  await open.close();
}
