/**
 * What a compile writes: a module that tools which did not make it find valid and that imports and exports what the contract says, a
 * memory of exactly the planned size, and the same bytes every time. A compile that is refused writes nothing at all.
 */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { checkModule } from "../conformance/independent.ts";
import { caseFolder, type GoldenCase } from "../golden/read.ts";
import {
  compileTo,
  demoFolder,
  filesBelow,
  type ModelOptions,
  oneThread,
  openModel,
  refusal,
  shapesFolder,
  workFolder,
} from "./support.ts";

const folder = await workFolder();

/** Of the golden cases those whose kernels differ most. */
const different: readonly GoldenCase[] = ["dense-odd", "dense-extra", "moe-bias", "moe-cold"];
const compiled: readonly (readonly [name: string, options: ModelOptions])[] = [
  // Threads are outside of the kernels: two models show them.
  ...different.map((name, i) => [name, { model: caseFolder(name), ...(i % 2 === 0 ? {} : { features: oneThread }) }] as const),
  ["dense-tiny in f32", { model: caseFolder("dense-tiny"), quant: "f32", sessions: 3, features: oneThread }],
  ["demo", { model: demoFolder, features: oneThread }],
];

describe.each(compiled)("%s", (name, options) => {
  test("modules are valid elsewhere and have one import, env.memory, and one export, forward, or those of threads; the memory is the plan", async () => {
    const { folder: artefact, artefact: written } = await compileTo(join(folder, name), options);
    const manifest = written?.manifest;
    expect(manifest?.variants.length).toBeGreaterThan(0);
    for (const variant of manifest?.variants ?? []) {
      const binary = new Uint8Array(await readFile(join(artefact, variant.module)));
      expect(binary.length).toBe(variant.bytes);
      // A mixture has kernels of its own beside all of a dense model's.
      expect(binary.length).toBeLessThan(manifest?.model.experts ? 150_000 : 120_000);
      const { bytes = 0, threadBytes = 0 } = manifest?.memory ?? {};
      const pages = (threads: number): number => Math.ceil((bytes + threads * 64 * Math.ceil(threadBytes / 64)) / 65536);
      const threaded = { memoryPages: pages(1), sharedPages: pages(64), functions: ["open", "forward", "serve", "stop", "fail"] };
      await checkModule(binary, variant.threads ? threaded : { memoryPages: pages(0), functions: ["forward"] });
    }
    const { memory } = manifest ?? { memory: null };
    if (!memory) throw new Error("nothing was written");
    expect(memory.bytes).toBe(memory.pages * 65536);
    for (const { offset, bytes } of [memory.weights, memory.state, memory.rows, memory.logits, memory.choices, memory.scratch])
      expect(offset + bytes).toBeLessThanOrEqual(memory.bytes);
    await (await openModel(artefact)).dispose();
  });
});

test.each<ModelOptions>([
  { model: caseFolder("dense-odd"), emit: ["graph", "kernels", "plan", "wat"] },
  { model: caseFolder("dense-tiny"), quant: "f32", features: ["simd128"] },
  { model: demoFolder, shardSize: 1_000_000, features: oneThread },
  { model: caseFolder("dense-tiny"), embedWeights: true, features: ["simd128", "threads"] },
])("compiling $model twice gives the same files, byte for byte", async (options) => {
  const first = await filesBelow((await compileTo(join(folder, "once"), options)).folder);
  const second = await filesBelow((await compileTo(join(folder, "again"), options)).folder);
  expect([...first.keys()]).toContain("manifest.json");
  expect([...second.keys()]).toEqual([...first.keys()]);
  for (const [path, bytes] of first) expect(second.get(path) === bytes, path).toBe(true);
});

test("weights lie in files of at most 25 MB", async () => {
  const { artefact } = await compileTo(join(folder, "shards"), { model: demoFolder, quant: "f32", features: ["simd128"] });
  const { weights = [], memory } = artefact?.manifest ?? {};
  expect(weights.map(({ path, bytes }) => ({ path, bytes }))).toEqual([
    { path: "weights/00000.bin", bytes: 25_000_000 },
    { path: "weights/00001.bin", bytes: (memory?.weights.bytes ?? 0) - 25_000_000 },
  ]);
});

const shapes = (await readdir(shapesFolder, { withFileTypes: true })).filter((entry) => entry.isDirectory()).map(({ name }) => name);

test.each(shapes)("%s, a published shape, can be planned", async (name) => {
  const { programs, artefact } = await compile({
    model: join(shapesFolder, name),
    target: "wasm-simd",
    features: ["simd128", "memory64"],
    dryRun: true,
  });
  expect(artefact).toBeNull();
  expect(programs.every(({ program }) => program.memory.bytes > program.memory.weights.bytes)).toBe(true);
});

describe("refused, with nothing written", () => {
  test.each<readonly [string, ModelOptions, string, RegExp]>([
    ["a plan above --max-memory", { model: caseFolder("dense-tiny"), maxMemory: 100_000 }, "plan/memory", /100000/],
    [
      "a plan above 16 GiB",
      { model: join(shapesFolder, "LFM2-24B-A2B"), randomWeights: 1, quant: "q8_0" },
      "plan/memory",
      /holds 17179869184/,
    ],
    ["a context above the model's", { model: caseFolder("dense-tiny"), context: 200_000 }, "usage/flag", /--context/],
    ["a chunk of no rows", { model: caseFolder("dense-tiny"), prefillChunk: 0 }, "usage/flag", /--prefill-chunk/],
    ["a shape without weights", { model: join(shapesFolder, "LFM2-350M") }, "weights/missing", /no weights/],
    ["a folder that is not there", { model: join(shapesFolder, "nowhere") }, "io/missing", /nowhere/],
  ])("%s", async (_, options, code, message) => {
    const parent = join(folder, "refused");
    await mkdir(parent, { recursive: true });
    const error = await refusal(() => compileTo(join(parent, "artefact"), options));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(error.hint).not.toBe("");
    expect(await readdir(parent)).toEqual([]);
  });

  test("a checkpoint that turns out to be damaged while it is packed leaves no partial folder", async () => {
    const model = join(folder, "damaged");
    await mkdir(model);
    await writeFile(join(model, "config.json"), await readFile(join(caseFolder("dense-tiny"), "config.json")));
    const weights = await readFile(join(caseFolder("dense-tiny"), "model.safetensors"));
    // In the last tensor of the file, so that most of the others are packed by then.
    weights.writeFloatLE(NaN, weights.length - 4);
    await writeFile(join(model, "model.safetensors"), weights);
    const parent = join(folder, "half");
    await mkdir(parent);
    expect((await refusal(() => compileTo(join(parent, "artefact"), { model }))).code).toBe("weights/value");
    expect(await readdir(parent)).toEqual([]);
  });

  test("a folder that holds something else stays as it is", async () => {
    const precious = join(folder, "precious");
    await mkdir(precious);
    await writeFile(join(precious, "thesis.txt"), "years of work");
    const error = await refusal(() => compileTo(precious, { model: caseFolder("dense-tiny") }));
    expect(error.code).toBe("io/exists");
    expect(error.hint).toMatch(/-o/);
    expect([...(await filesBelow(precious))]).toEqual([["thesis.txt", "years of work"]]);
  });

  test("an artefact is left as it was by a compile that fails, and replaced whole by one that does not", async () => {
    const artefact = join(folder, "replaced");
    await compileTo(artefact, { model: caseFolder("dense-tiny"), emit: ["plan"] });
    const before = await filesBelow(artefact);
    expect([...before.keys()]).toContain("plan.simd128.txt");
    await refusal(() => compileTo(artefact, { model: caseFolder("dense-tiny"), maxMemory: 1 }));
    expect(await filesBelow(artefact)).toEqual(before);
    await compileTo(artefact, { model: caseFolder("dense-tiny"), sessions: 2 });
    expect([...(await filesBelow(artefact)).keys()]).toEqual([...before.keys()].filter((path) => !/^plan\..*\.txt$/.test(path)));
  });
});
