/** `lfmc compile`: what it prints and writes, as text and as JSON, and the stages that `--emit` adds. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import wabt from "wabt";
import { parseGraph } from "../../compiler/graph/parse.ts";
import { printGraph } from "../../compiler/graph/print.ts";
import { parseKernel } from "../../compiler/kernel/parse.ts";
import { printKernel } from "../../compiler/kernel/print.ts";
import { caseFolder } from "../golden/read.ts";
import { demoFolder, shapesFolder, workFolder } from "../model/support.ts";
import { json, lfmc, oneModule, output, record } from "./support.ts";

const folder = await workFolder();
const tiny = caseFolder("dense-tiny");

test("prints where the artefact lies, its module's size and its memory to the byte", async () => {
  const artefact = join(folder, "demo");
  const text = await output(["compile", demoFolder, "--target", "wasm-simd", "-o", artefact]);
  const manifest = record(JSON.parse(await readFile(join(artefact, "manifest.json"), "utf8")));
  expect(text).toContain(artefact);
  expect(text).toContain("6889856 parameters as q4_0");
  const modules = ["simd128", "relaxed", "simd128-threads", "relaxed-threads"].map((name) => `model.${name}.wasm`);
  for (const module of modules) expect(text).toMatch(new RegExp(`^${module.replaceAll(".", "\\.")}: \\d+ bytes$`, "m"));
  for (const region of ["rows", "logits", "state", "weights", "scratch"]) {
    const { offset, bytes } = record(record(manifest.memory)[region]);
    expect(text).toMatch(new RegExp(`^${region} +${String(offset)} +${String(bytes)}\\b`, "m"));
  }
  expect((await readdir(artefact)).toSorted()).toEqual(
    [
      ...["README.md", "chat.d.ts", "chat.js", "edge-light.js", "generation_config.json", "index.d.ts", "index.js"],
      ...["json-schema.d.ts", "json-schema.js", "manifest.json", ...modules, "package.json", "runtime.js"],
      ...["thread.js", "tokenizer.json", "tokenizer_config.json", "types", "weights", "worker.d.ts", "worker.js"],
    ].toSorted(),
  );
});

test("--features leaves out what an engine may not be asked for", async () => {
  const artefact = join(folder, "features");
  const { variants } = await json(["compile", tiny, "-o", artefact, "--features", "simd128,threads"]);
  expect(variants).toMatchObject([
    { name: "simd128", threads: false },
    { name: "simd128", threads: true },
  ]);
  for (const [flags, fact] of [
    [["--features", "relaxed"], /not enough for any variant/],
    [["--features", "simd128", "--target", "c"], /does not go with --target c/],
    [["--features", "avx2"], /not one of simd128, relaxed, threads, memory64/],
  ] as const) {
    const { status, stderr } = await lfmc(["compile", tiny, "-o", join(folder, "refused"), ...flags]);
    expect(status).toBe(2);
    expect(stderr).toMatch(fact);
  }
});

test("--json tells what was written, and stdout holds nothing else", async () => {
  const artefact = join(folder, "json");
  const result = await json(["compile", tiny, "-o", artefact, "--name", "my-model", "--sessions", "2", "--context", "512", ...oneModule]);
  const manifest = record(JSON.parse(await readFile(join(artefact, "manifest.json"), "utf8")));
  expect(result).toMatchObject({ name: "my-model", output: artefact, limits: { sessions: 2, context: 512 }, warnings: [] });
  expect(result.embedded).toBe(false);
  for (const part of ["memory", "variants", "weights"]) expect(result[part]).toEqual(manifest[part]);
});

test.each([
  ["dense-tiny", "wasm-simd"],
  ["moe-tiny", "wasm-simd"],
  ["moe-bias", "c-x86"],
] as const)("--dry-run gives the plan of the real thing and writes nothing: %s, %s", async (name, target) => {
  const parent = join(folder, "dry");
  const args = [
    "compile",
    join(caseFolder(name), "config.json"),
    "--target",
    target,
    "--context",
    "300",
    "--name",
    "planned",
    ...(target === "wasm-simd" ? oneModule : []),
  ];
  const dry = await json([...args, "--dry-run", "-o", join(parent, "artefact")]);
  await expect(readdir(parent)).rejects.toThrow("ENOENT");
  expect(dry.output).toBeNull();
  const real = await json([...args, "--random-weights", "1", "-o", join(folder, `real-${name}`)]);
  expect(dry.memory).toEqual(real.memory);
});

test("--embed-weights writes no weights files, and says so", async () => {
  const artefact = join(folder, "embedded");
  const args = [tiny, "--embed-weights", "--features", "simd128"];
  const result = await json(["compile", ...args, "-o", artefact]);
  expect(result).toMatchObject({ weights: [], embedded: true, variants: [{ module: "model.simd128.wasm" }] });
  expect(await readdir(artefact)).not.toContain("weights");
  const line = /^weights +\d+ +\d+ {2}in each module$/m;
  expect(await output(["compile", ...args, "--dry-run"])).toMatch(line);
  expect(await output(["inspect", artefact])).toMatch(line);
  const text = await output(["inspect", artefact, "--wat"]);
  expect(text).toContain("(memory.init 0");
  expect(text).toContain('(data (;0;) "")');
});

test("--dry-run of a checkpoint goes by the types that its weights are stored in", async () => {
  const args = ["compile", caseFolder("moe-bias"), "--quant", "keep", ...oneModule];
  const real = await json([...args, "-o", join(folder, "kept")]);
  expect((await json([...args, "--dry-run"])).memory).toEqual(real.memory);
});

test("--dry-run of a published shape needs no weights", async () => {
  expect(await output(["compile", join(shapesFolder, "LFM2-350M"), "--dry-run", ...oneModule])).toMatch(/^weights +\d+ +\d+$/m);
});

test("a session's state is told apart: the KV cache, the rings of the short convolutions and their checkpoints", async () => {
  const [context, kvHeads, headSize, hidden, taps] = [2048, 8, 64, 1024, 3];
  const [attentionLayers, convolutions] = [6, 10];
  // Keys and values in f16; 64 rows to rewind by and the taps' own; the two rows before every 128th position but the first.
  const kvCacheBytes = attentionLayers * context * kvHeads * headSize * 2 * 2;
  const ringBytes = convolutions * (64 + taps) * hidden * 4;
  const checkpointBytes = (context / 128 - 1) * convolutions * (taps - 1) * hidden * 4;
  const bytes = kvCacheBytes + ringBytes + checkpointBytes;

  const args = ["compile", join(shapesFolder, "LFM2-350M"), "--dry-run", "--context", String(context), "--sessions", "2", ...oneModule];
  const plan = await json(args);
  expect(plan.session).toEqual({ bytes, kvCacheBytes, ringBytes, checkpointBytes });
  expect(record(record(plan.memory).state)).toMatchObject({ bytes: 2 * bytes, slotBytes: bytes });
  const text = await output(args);
  const lines = [`${bytes} a session:`, `KV cache ${kvCacheBytes}`, `conv rings ${ringBytes}`, `checkpoints ${checkpointBytes}`];
  expect(text.replaceAll(/ +/g, " ")).toContain(lines.join("\n "));
});

test("--max-memory takes units, and a plan that fits passes", async () => {
  const refused = await lfmc(["compile", tiny, "--dry-run", "--max-memory", "1MiB"]);
  expect(refused).toMatchObject({ status: 1, stdout: "" });
  expect(refused.stderr).toMatch(/--max-memory: the plan takes \d+ bytes .* more than 1048576/);
  await output(["compile", tiny, "--dry-run", "--max-memory", "16MB"]);
});

test("--emit writes the stages as text that reads back, and the code as text that assembles", async () => {
  const artefact = join(folder, "stages");
  await output(["compile", tiny, "-o", artefact, "--emit", "graph,kernels,plan,wat", ...oneModule]);
  const read = (name: string) => readFile(join(artefact, name), "utf8");

  const graph = await read("graph.txt");
  expect(printGraph(parseGraph(graph))).toBe(graph);

  const kernels = (await read("kernels.simd128.txt")).split(/^(?=\/\/ )/m);
  expect(kernels.length).toBeGreaterThan(10);
  for (const kernel of kernels) expect(printKernel(parseKernel(kernel.trimEnd())).trimEnd()).toBe(kernel.trimEnd());

  expect(await read("plan.simd128.txt")).toMatch(/^weights +\d+ +\d+/m);

  const wat = await read("model.simd128.wat");
  const module = (await wabt()).parseWat("model.wat", wat, { simd: true });
  module.validate();
  expect(wat).toMatch(/\(export "forward"/);
  module.destroy();
});
