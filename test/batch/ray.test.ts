/**
 * The Ray engine without Ray: what it says to its driver and makes of the answers, the driver's own rules, and what is said where something is missing.
 * With Ray: test/long/ray.test.ts.
 */
import { spawnSync } from "node:child_process";
import { chmod, copyFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import type { BatchOutcome, BatchRequest } from "../../compiler/batch/engine.ts";
import { DriverProcess } from "../../compiler/batch/ray/driver-process.ts";
import { openRayEngine, rayEngine } from "../../compiler/batch/ray/ray-engine.ts";
import { refusal, workFolder } from "../model/support.ts";
import { fakeManifest } from "../runtime/support.ts";
import { greedy } from "./support.ts";

const folder = await workFolder();
const fakePython = join(folder, "python");

const { LFMC_PYTHON, LFMC_FAKE } = process.env;

beforeAll(async () => {
  await copyFile(new URL("fake-driver.mjs", import.meta.url), fakePython);
  await chmod(fakePython, 0o755);
});

afterEach(() => {
  for (const [name, value] of Object.entries({ LFMC_PYTHON, LFMC_FAKE })) {
    if (value === undefined) Reflect.deleteProperty(process.env, name);
    else process.env[name] = value;
  }
});

/** A driver that was asked for a cluster. */
async function started(python: string, fault = ""): Promise<DriverProcess> {
  process.env.LFMC_PYTHON = python;
  process.env.LFMC_FAKE = fault;
  const driver = new DriverProcess(() => undefined);
  await driver.send({ package: folder, files: [], weights: "", variant: null, threads: null, workers: 1, address: "local", chunk: 64 });
  return driver;
}

async function* requests(count: number, fault?: Error): AsyncGenerator<BatchRequest, void, void> {
  for (let index = 0; index < count; index++) {
    yield await Promise.resolve({ index, tokens: [index, 5], maxTokens: 9, seed: 2 ** 53 - 1 - index, endTokens: [4] });
  }
  if (fault !== undefined) throw fault;
}

async function outcomesOf(driver: DriverProcess, asked: AsyncIterable<BatchRequest>): Promise<readonly BatchOutcome[]> {
  try {
    await driver.ready();
    const outcomes: BatchOutcome[] = [];
    for await (const outcome of rayEngine(driver, [2, 3])(asked, { ...greedy, temperature: 0.25 })) outcomes.push(outcome);
    return outcomes;
  } finally {
    await driver.close();
  }
}

describe("the driver's process", () => {
  test("answers come in any order, each once, to requests with all they say", async () => {
    const outcomes = await outcomesOf(await started(fakePython), requests(501));
    expect(outcomes.slice(0, 2).map(({ index }) => index)).toEqual([1, 0]);
    expect(outcomes.toSorted((a, b) => a.index - b.index)).toEqual(
      Array.from({ length: 501 }, (_, index) => ({
        ...{ index, stopReason: "length", tokens: [5, index, 9, 2 ** 53 - 1 - index, 2, 3, 4, 0.25] },
      })),
    );
  });

  test("what the driver refuses is an error with its way out", async () => {
    const error = await refusal(async () => outcomesOf(await started(fakePython, "fails"), requests(3)));
    expect(error).toMatchObject({ code: "native/machine", message: "cluster: is not there", hint: "start it" });
  });

  test("a driver that dies is an error with its last words, and says that the job can go on", async () => {
    const error = await refusal(async () => outcomesOf(await started(fakePython, "dies"), requests(500)));
    expect(error.code).toBe("native/machine");
    expect(error.message).toContain("ended before its work was done (status 7 | out of luck)");
    expect(error.hint).toContain("the same command again goes on");
  });

  test("an error of the requests is the job's, and ends the driver", async () => {
    const fault = new Error("no more lines");
    await expect(outcomesOf(await started(fakePython), requests(3, fault))).rejects.toBe(fault);
  });

  test("without Python: how to get it", async () => {
    const error = await refusal(async () => outcomesOf(await started(join(folder, "nowhere")), requests(3)));
    expect(error.code).toBe("native/machine");
    expect(error.message).toContain("cannot be run");
    expect(error.hint).toContain("LFMC_PYTHON");
  });
});

describe("an artefact that Ray's workers cannot have", () => {
  test.each([
    { target: "wasm-simd", code: "run/input", fact: "is a WebAssembly artefact" },
    { target: "c", code: "io/missing", fact: "has no Python package" },
  ] as const)("$target: $fact", async ({ target, code, fact }) => {
    const manifest = { ...fakeManifest(), target };
    const error = await refusal(() => openRayEngine({ folder, manifest, note: () => undefined }));
    expect(error).toMatchObject({ code, message: `${folder}: ${fact}` });
    expect(error.hint).toContain("--target c --python");
  });
});

const python = spawnSync("python3", ["-c", "import sys; sys.exit(sys.version_info < (3, 9))"]).status === 0;
const hasRay = spawnSync("python3", ["-c", "import ray.data"]).status === 0;

describe.skipIf(!python)("the driver itself (skipped: no python3 of at least 3.9)", () => {
  test("chunks, answers and the rules of a job", () => {
    const script = fileURLToPath(new URL("ray_job.py", import.meta.url));
    const { status, stderr } = spawnSync("python3", ["-B", script], { encoding: "utf8", timeout: 60_000 });
    expect(stderr).toBe("");
    expect(status).toBe(0);
  });

  test.skipIf(hasRay)("without Ray: how to get it (skipped: python3 has ray)", async () => {
    const error = await refusal(async () => outcomesOf(await started("python3"), requests(3)));
    expect(error.code).toBe("native/machine");
    expect(error.message).toContain("has no Ray that can be used: No module named 'ray'");
    expect(error.hint).toContain("pip install 'ray[data]'");
  });
});
