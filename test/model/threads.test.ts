/**
 * Threaded modules: the same bits for any variant, any number of threads and any split of the rows, under every engine; and an error, never a
 * hang, where a thread is lost.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { afterEach, beforeAll, expect, test, vi } from "vitest";
import { load, type Manifest, type Model } from "../../runtime/index.ts";
import { parseManifest } from "../../runtime/manifest-parse.ts";
import { createMemory, instantiateThreads } from "../../runtime/wasm-engine.ts";
import { findBun, findDeno, findNode20, type Engine } from "../engines.ts";
import { compileTo, demoFolder, root, workFolder } from "./support.ts";

const folder = await workFolder();
const artefacts = { dense: join(folder, "dense"), mixture: join(folder, "mixture") };
const base = (path: string): URL => pathToFileURL(`${path}/`);

beforeAll(async () => {
  await compileTo(artefacts.dense, { model: demoFolder, kv: "q8_0" });
  await compileTo(artefacts.mixture, { model: join(root, "examples", "demo-moe") });
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

/** The sha256 of the logits after 40 tokens, of which each call takes so many. */
function digest(model: Model, split: readonly number[]): string {
  let position = 0;
  const hash = createHash("sha256");
  for (const count of split) {
    const first = position;
    const rows = Array.from({ length: count }, (_, i) => {
      return {
        token: ((first + i) * 7919 + 3) % model.manifest.model.vocabSize,
        slot: 0,
        position: first + i,
        wantsLogits: i === count - 1,
      };
    });
    const [logits] = model.forward(rows);
    position += count;
    if (position === 40 && logits) hash.update(new Uint8Array(logits.slice().buffer));
  }
  return hash.digest("hex");
}

const splits = [[40], [16, 1, 1, 3, 19], [7, 33]];

test.each(Object.entries(artefacts))("%s: the same bits in every variant, number of threads and split", async (_, artefact) => {
  const digests: string[] = [];
  for (const variant of ["simd128", "relaxed"]) {
    for (const threads of [1, 2, 3, 5]) {
      const model = await load({ base: base(artefact), variant, threads });
      expect(model.threads).toBe(threads);
      expect(model.variant?.threads).toBe(threads > 1);
      digests.push(...splits.map((split) => digest(model, split)));
      await model.dispose();
    }
  }
  expect(digests).toHaveLength(24);
  expect(new Set(digests).size).toBe(1);
});

test("hundreds of calls of random rows keep their bits", async () => {
  const models = await Promise.all([1, 4].map((threads) => load({ base: base(artefacts.dense), threads })));
  let seed = 1;
  const random = (below: number): number => (seed = Math.imul(seed, 48271) % 0x7fffffff) && Math.abs(seed) % below;
  for (let call = 0; call < 200; call++) {
    const rows = Array.from({ length: 1 + random(20) }, (_, i) => ({
      token: random(4000),
      slot: 0,
      position: i,
      wantsLogits: random(4) === 0,
    }));
    const [one, four] = models.map((model) => model.forward(rows).map((logits) => logits.slice()));
    expect(four).toEqual(one);
  }
  for (const model of models) await model.dispose();
});

test("a host that does not share memory runs one thread", async () => {
  vi.stubGlobal("crossOriginIsolated", false);
  const model = await load({ base: base(artefacts.dense), threads: 2 });
  expect(model.threads).toBe(1);
  expect(model.variant?.threads).toBe(false);
  await model.dispose();
});

test("workers that cannot be started are an error of the load", async () => {
  const loading = load({ base: base(artefacts.dense), threads: 3, thread: new URL("missing.js", base(folder)) });
  await expect(loading).rejects.toMatchObject({ code: "run/thread" });
});

test("a load that fails leaves no worker behind", async () => {
  const end = vi.spyOn(Worker.prototype, "terminate");
  const weights = new URL("no-weights/", base(folder));
  await expect(load({ base: base(artefacts.dense), threads: 3, weights })).rejects.toMatchObject({ code: "io/missing" });
  await vi.waitFor(() => {
    expect(end).toHaveBeenCalledTimes(2);
  });
});

/** A threaded engine of the dense model whose workers run `script` once they have said that they are ready. */
async function engineWith(name: string, script: string, patience: number) {
  const entry = join(folder, `${name}.mjs`);
  const text = `
    import { parentPort } from "node:worker_threads";
    parentPort.once("message", ({ module, memory }) => {
      parentPort.postMessage({ ready: true });
      const { exports } = new WebAssembly.Instance(module, { env: { memory } });
      const ticket = new BigInt64Array(memory.buffer, 64, 1);
      const untilCall = () => { while (Atomics.load(ticket, 0) >> 16n << 16n === 0n); };
      ${script}
    });`;
  await writeFile(entry, text);
  const manifest: Manifest = parseManifest(JSON.parse(await readFile(join(artefacts.dense, "manifest.json"), "utf8")));
  const variant = manifest.variants.find(({ name: each, threads }) => threads && each === "simd128");
  if (!variant) throw new Error("no threaded variant");
  const module = await WebAssembly.compile(await readFile(join(artefacts.dense, variant.module)));
  const place = { subject: variant.module, module, memory: createMemory(manifest, variant, 2), holdsWeights: false };
  return await instantiateThreads(place, pathToFileURL(entry), 2, patience);
}

/** Calls until the engine refuses; a thread may be lost between any two of its steps. */
function refusal(engine: Awaited<ReturnType<typeof engineWith>>): unknown {
  try {
    for (let call = 0; call < 1000; call++) engine.forward(32, 0);
  } catch (error) {
    return error;
  }
  return null;
}

test.each([
  // It claims one unit of whatever runs, and never does it.
  {
    name: "stalls",
    script:
      "untilCall(); for (;;) { const seen = Atomics.load(ticket, 0); if (Atomics.compareExchange(ticket, 0, seen, seen + 1n) === seen) break; }",
    fact: "no thread got on",
  },
  { name: "fails", script: "untilCall(); exports.fail();", fact: "a thread failed" },
])("a thread that $name in the middle of a call ends in an error, and the engine is lost", async ({ name, script, fact }) => {
  const engine = await engineWith(name, script, 1);
  expect(refusal(engine)).toMatchObject({ code: "run/thread", message: expect.stringContaining(fact) as unknown });
  expect(refusal(engine)).toMatchObject({ code: "run/thread" });
  engine.close?.();
});

test("an engine whose first thread stopped in the middle of a call is lost, though the others are well", async () => {
  const engine = await engineWith("idles", "", 1);
  // So many rows lie outside of the memory.
  expect(() => {
    engine.forward(60_000, 0);
  }).toThrow(/stops in the middle of a call/);
  expect(refusal(engine)).toMatchObject({ code: "run/thread" });
  engine.close?.();
});

test("a thread that ends between calls is noticed before the next", async () => {
  const engine = await engineWith("ends", "process.exit(3);", 1);
  await vi.waitFor(() => {
    expect(() => {
      engine.forward(1, 0);
    }).toThrow(/ended with code 3/);
  });
  engine.close?.();
});

test("workers of a model that was forgotten are ended", async () => {
  const script = join(folder, "forgets.mjs");
  await writeFile(
    script,
    `
    import { Worker } from "node:worker_threads";
    import { load } from ${JSON.stringify(new URL("index.js", base(artefacts.dense)).href)};
    let ended = 0;
    const { terminate } = Worker.prototype;
    Worker.prototype.terminate = function () {
      ended++;
      return terminate.call(this);
    };
    const use = async () => (await load({ threads: 3 })).forward([{ token: 1, slot: 0, position: 0, wantsLogits: true }]).length;
    await use();
    for (let turn = 0; turn < 100 && ended < 2; turn++) {
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    console.log(ended);
    `,
  );
  const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", script], { timeout: 60_000 });
  expect(stdout.trim()).toBe("2");
});

test("a script that is no file has threads too: its workers do not take the process's options", async () => {
  const args = ["--input-type=module", "--eval", scriptText(true)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 60_000 });
  expect(JSON.parse(stdout)).toMatchObject({ threads: 3 });
});

/** Loads with three threads, prints the ids, and ends by itself: with dispose, or leaving that to the process's end. */
const scriptText = (dispose: boolean): string => `
import { load } from ${JSON.stringify(new URL("index.js", base(artefacts.dense)).href)};
const model = await load({ threads: 3 });
const session = model.createSession();
const { tokens } = await session.complete("It is a truth universally acknowledged, that", { maxTokens: 16, temperature: 0, ignoreEos: true });
console.log(JSON.stringify({ threads: model.threads, tokens }));
${dispose ? "await model.dispose();" : ""}
`;

const engines: readonly (readonly [string, () => Engine, readonly string[]])[] = [
  ["the pinned Node", () => ({ available: true, path: process.execPath }), []],
  ["Node 20", findNode20, []],
  ["Deno", findDeno, ["run", "--allow-all"]],
  ["Bun", findBun, []],
];

test.for(engines)("%s runs an artefact with threads, and ends", async ([, find, flags], context) => {
  const engine = find();
  if (!engine.available) {
    context.skip(engine.reason);
    return;
  }
  const single = await load({ base: base(artefacts.dense) });
  const prompt = "It is a truth universally acknowledged, that";
  const { tokens } = await single.createSession().complete(prompt, { maxTokens: 16, temperature: 0, ignoreEos: true });
  for (const dispose of [true, false]) {
    const script = join(folder, `script-${String(dispose)}.mjs`);
    await writeFile(script, scriptText(dispose));
    const { stdout } = await promisify(execFile)(engine.path, [...flags, script], { timeout: 60_000 });
    expect(JSON.parse(stdout)).toEqual({ threads: 3, tokens });
  }
});
