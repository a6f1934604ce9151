/**
 * `lfmc batch --engine ray` on a cluster of two workers on this machine: 2,000 prompts of the demo model, while a worker process is killed and while lfmc
 * itself is killed, against one process on the C artefact and on the WebAssembly artefact, byte for byte.
 *
 *     python3 -m venv /tmp/ray-env && /tmp/ray-env/bin/pip install 'ray[data]'
 *     LFMC_PYTHON=/tmp/ray-env/bin/python npm run test:long -- ray
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { required } from "../../compiler/errors.ts";
import { demoFolder, oneThread, root, workFolder } from "../model/support.ts";

const python = process.env.LFMC_PYTHON ?? "python3";
const hasRay = spawnSync(python, ["-c", "import ray.data"]).status === 0;
const count = 2_000;
const minutes = 60_000;

const folder = await workFolder();
const path = (name: string): string => join(folder, name);
const target = process.arch === "x64" ? "c-x86" : process.arch === "arm64" ? "c-arm" : "c";

interface Running {
  readonly child: ChildProcess;
  /** Its status, and what it wrote on stderr. */
  readonly ended: Promise<{ readonly status: number | null; readonly stderr: string }>;
}

const children: ChildProcess[] = [];

/** `lfmc batch` of an artefact on the prompts. */
function batch(artefact: string, output: string, flags: readonly string[] = []): Running {
  const args = ["batch", path(artefact), path("prompts.jsonl"), "-o", path(output), "--max-tokens", "32", ...flags];
  const child = spawn(process.execPath, [join(root, "compiler", "cli.ts"), ...args], { stdio: ["ignore", "ignore", "pipe"] });
  children.push(child);
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (piece: string) => (stderr += piece));
  const ended = new Promise<{ status: number | null; stderr: string }>((resolve) => {
    child.on("close", (status) => {
      resolve({ status, stderr });
    });
  });
  return { child, ended };
}

const onRay = ["--engine", "ray", "--workers", "2", "--threads", "1"];

/** Resolves when half of the lines are in the journal. */
async function halfDone(output: string): Promise<void> {
  const journal = path(`${output}.partial`);
  while (!existsSync(journal) || readFileSync(journal, "utf8").split("\n").length <= count / 2) await sleep(20);
}

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
}

/** What a process has started, and what that has. */
function startedBy(pid: number): readonly Process[] {
  const lines = spawnSync("ps", ["-eo", "pid=,ppid=,args="], { encoding: "utf8" }).stdout.split("\n");
  const all = lines.map((line): Process => {
    const [, own, parent, name] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
    return { pid: Number(own), parent: Number(parent), name: name ?? "" };
  });
  const below = (parent: number): readonly Process[] =>
    all.filter((each) => each.parent === parent).flatMap((each) => [each, ...below(each.pid)]);
  return below(pid);
}

function isAlive({ pid }: Process): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The last line of a run says how many lines and tokens it took how long for. */
function tellFigure(what: string, stderr: string): void {
  process.stderr.write(`${what}: ${stderr.trimEnd().split("\n").at(-1) ?? ""}\n`);
}

/** So many sentences' beginnings of Jane Austen's. */
async function sentences(): Promise<readonly string[]> {
  const texts = join(demoFolder, "text");
  const names = (await readdir(texts)).toSorted();
  const whole = await Promise.all(names.map((name) => readFile(join(texts, name), "utf8")));
  const all = whole
    .flatMap((text) => text.replaceAll(/\s+/g, " ").split(/(?<=[.!?]) /))
    .filter(({ length }) => length > 30 && length < 200);
  const every = Math.floor(all.length / count);
  return Array.from({ length: count }, (_, i) => required(all[i * every], "sentence")).map((text) => text.slice(0, text.length / 2));
}

afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
});

describe.skipIf(!hasRay)(`Ray (skipped: ${python} has no package ray.data)`, () => {
  let expected = "";

  beforeAll(async () => {
    const lines = (await sentences()).map((prompt, i) => `${JSON.stringify({ id: `s${i}`, prompt })}\n`);
    await writeFile(path("prompts.jsonl"), lines.join(""));
    const shape = { model: demoFolder, context: 512, sessions: 8 };
    await compile({ ...shape, target, python: true, output: path("native") });
    await compile({ ...shape, target: "wasm-simd", features: oneThread, output: path("module") });
    const { status, stderr } = await batch("native", "expected.jsonl", ["--threads", "1"]).ended;
    expect(status, stderr).toBe(0);
    tellFigure("one process, C, one thread", stderr);
    expected = await readFile(path("expected.jsonl"), "utf8");
    expect(expected.split("\n")).toHaveLength(count + 1);
  }, 10 * minutes);

  test("WebAssembly in one process", { timeout: 10 * minutes }, async () => {
    const { status, stderr } = await batch("module", "module.jsonl").ended;
    expect(status, stderr).toBe(0);
    tellFigure("one process, WebAssembly, one thread", stderr);
    expect((await readFile(path("module.jsonl"), "utf8")) === expected).toBe(true);
  });

  test("two workers, one of which is killed half way", { timeout: 10 * minutes }, async () => {
    const { child, ended } = batch("native", "killed.jsonl", onRay);
    await halfDone("killed.jsonl");
    const workers = startedBy(required(child.pid, "process")).filter(({ name }) => name.startsWith("ray::MapWorker"));
    expect(workers).toHaveLength(2);
    process.kill(required(workers[0], "worker").pid, "SIGKILL");
    const { status, stderr } = await ended;
    expect(status, stderr).toBe(0);
    tellFigure("two workers on Ray, one killed", stderr);
    expect(stderr).toContain("a worker process died");
    expect((await readFile(path("killed.jsonl"), "utf8")) === expected).toBe(true);
  });

  test("lfmc is killed half way, takes the cluster with it, and goes on", { timeout: 10 * minutes }, async () => {
    const first = batch("native", "resumed.jsonl", onRay);
    await halfDone("resumed.jsonl");
    const processes = startedBy(required(first.child.pid, "process"));
    expect(processes.filter(({ name }) => name.startsWith("ray::"))).not.toEqual([]);
    first.child.kill("SIGKILL");
    for (const deadline = Date.now() + minutes; processes.some(isAlive) && Date.now() < deadline;) await sleep(100);
    expect(processes.filter(isAlive)).toEqual([]);
    const { status, stderr } = await batch("native", "resumed.jsonl", onRay).ended;
    expect(status, stderr).toBe(0);
    expect(stderr).toMatch(/going on after [\d,]+ of 2,000 lines/);
    tellFigure("the rest of the lines on Ray", stderr);
    expect((await readFile(path("resumed.jsonl"), "utf8")) === expected).toBe(true);
  });

  test("a cluster that is not there", { timeout: minutes }, async () => {
    const { status, stderr } = await batch("native", "nowhere.jsonl", ["--engine", "ray", "--address", "127.0.0.1:1"]).ended;
    expect(status).toBe(1);
    expect(stderr).toContain("127.0.0.1:1: cannot be reached");
    expect(stderr).not.toContain("    at ");
    expect(existsSync(path("nowhere.jsonl"))).toBe(false);
  });
});
