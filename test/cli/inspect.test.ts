/** `lfmc inspect`: every stage of a model's compile as text, and what an artefact holds. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import wabt from "wabt";
import { parseGraph } from "../../compiler/graph/parse.ts";
import { printGraph } from "../../compiler/graph/print.ts";
import { caseFolder } from "../golden/read.ts";
import { shapesFolder, workFolder } from "../model/support.ts";
import { json, lfmc, output, record } from "./support.ts";

const folder = await workFolder();
const tiny = caseFolder("dense-tiny");
const artefact = join(folder, "tiny");

beforeAll(async () => {
  await output(["compile", tiny, "-o", artefact, "--emit", "graph,kernels,plan,wat"]);
});

/** A stage that the compile wrote. */
async function emitted(name: string): Promise<string> {
  return await readFile(join(artefact, name), "utf8");
}

test.each([
  ["--graph", "graph.txt"],
  ["--kernels", "kernels.simd128.txt"],
  ["--plan", "plan.simd128.txt"],
])("%s of a model is what compile --emit writes", async (flag, file) => {
  const text = await output(["inspect", tiny, flag]);
  expect(text.trimEnd()).toBe((await emitted(file)).trimEnd());
});

test("--graph reads back", async () => {
  const text = await output(["inspect", tiny, "--graph", "--quant", "f32"]);
  expect(printGraph(parseGraph(text)).trimEnd()).toBe(text.trimEnd());
  expect(text).not.toContain("q4_0");
});

test("--graph of a shape needs no weights, and no kernels: mixtures of experts have a graph too", async () => {
  const text = await output(["inspect", join(shapesFolder, "LFM2-8B-A1B"), "--graph"]);
  expect(text).toMatch(/= router\(/);
  expect(printGraph(parseGraph(text)).trimEnd()).toBe(text.trimEnd());
});

test.each([
  ["a model", () => tiny],
  ["an artefact", () => artefact],
])("--wat of %s assembles", async (_, path) => {
  const text = await output(["inspect", path(), "--wat"]);
  const module = (await wabt()).parseWat("model.wat", text, { simd: true });
  module.validate();
  module.destroy();
  expect(text).toContain('"forward"');
});

test("an artefact of more than 4 GiB needs memory64, and its --wat says so and assembles", async () => {
  const wide = join(folder, "wide");
  await output(["compile", tiny, "-o", wide, "--context", "96", "--sessions", "65536", "--features", "simd128,memory64"]);
  expect(await output(["inspect", wide])).toMatch(/needs simd128, memory64$/m);
  const text = await output(["inspect", wide, "--wat"]);
  expect(text).toMatch(/\(import "env" "memory" \(memory \(;0;\) i64 \d+ \d+\)\)/);
  const module = (await wabt()).parseWat("model.wat", text, { simd: true, memory64: true });
  module.validate();
  module.destroy();
});

test("--json of a model tells its config, memory and limits", async () => {
  expect(await json(["inspect", tiny, "--context", "128", "--prefill-chunk", "8"])).toMatchObject({
    config: { vocabSize: 256, hiddenSize: 64, layers: ["conv", "attention", "conv", "attention"] },
    limits: { context: 128, prefillChunk: 8 },
  });
});

test("of an artefact: its facts, and with --json its manifest", async () => {
  const manifest = record(JSON.parse(await emitted("manifest.json")));
  expect(await json(["inspect", artefact])).toEqual(manifest);
  const text = await output(["inspect", artefact]);
  expect(text).toMatch(/^dense-tiny: lfm2, \d+ parameters as q4_0, KV cache f16$/m);
  expect(text).toMatch(/^model\.simd128\.wasm: \d+ bytes, needs simd128$/m);
});

test("stages of an artefact are refused: it has only its code", async () => {
  const { status, stdout, stderr } = await lfmc(["inspect", artefact, "--plan"]);
  expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
  expect(stderr).toMatch(/--emit/);
});
