/**
 * Weights inside the modules (`--embed-weights`): the same bits, plan and sessions as with weights in files, and every module says which variant it
 * is. What was altered, or does not hold what the manifest says, is refused.
 */
import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { detectFeatures } from "../../runtime/features.ts";
import { hasFunctions } from "../../runtime/host.ts";
import { type Manifest, load } from "../../runtime/index.ts";
import { newMemory } from "../../runtime/wasm-engine.ts";
import { Assembler } from "../../targets/wasm/assembler.ts";
import { withData } from "../../targets/wasm/data-section.ts";
import { checkModule } from "../conformance/independent.ts";
import { caseFolder } from "../golden/read.ts";
import { refusal } from "../runtime/support.ts";
import {
  compileTo,
  firstDifference,
  forwardAll,
  openModel,
  refusal as refusedCompile,
  shapesFolder,
  someTokens,
  workFolder,
} from "./support.ts";

const folder = await workFolder();
const options = { model: caseFolder("dense-tiny"), context: 96, prefillChunk: 8 };
const [inFiles, inModules] = [join(folder, "files"), join(folder, "modules")];
let files: Manifest;
let modules: Manifest;

beforeAll(async () => {
  files = await manifestOf(inFiles, { shardSize: 50_000 });
  modules = await manifestOf(inModules, { embedWeights: true });
});

async function manifestOf(place: string, more: object): Promise<Manifest> {
  const { artefact } = await compileTo(place, { ...options, ...more });
  if (!artefact) throw new Error("nothing was written");
  return artefact.manifest;
}

/** A module's bytes. */
async function moduleOf(place: string, name: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await readFile(join(place, name)));
}

test("plan and hash are those of weights in files, which there are none of", async () => {
  expect(modules.weights).toEqual([]);
  expect(await readdir(inModules)).not.toContain("weights");
  expect(modules).toEqual({ ...files, weights: [], variants: modules.variants, checksum: modules.checksum });
});

test("modules are valid elsewhere, hold the weights as they lie in files, and say which variant they are", async () => {
  const shards = await Promise.all(files.weights.map(({ path }) => readFile(join(inFiles, path))));
  for (const place of [inFiles, inModules])
    for (const { module, name, threads, bytes } of (place === inFiles ? files : modules).variants) {
      const binary = await moduleOf(place, module);
      expect(binary.length).toBe(bytes);
      expect(Buffer.from(binary).includes(Buffer.concat(shards))).toBe(place === inModules);
      const sections = WebAssembly.Module.customSections(await WebAssembly.compile(binary), "lfmc");
      expect(sections.map((bytes) => Buffer.from(bytes).toString())).toEqual([threads ? `${name} threads` : name]);
      if (threads) continue;
      const functions = place === inModules ? ["forward", "embed"] : ["forward"];
      await checkModule(binary, { memoryPages: files.memory.pages, functions });
    }
});

describe.each(["simd128", "relaxed"])("%s", (variant) => {
  test.for([1, 2])("%i threads: the bits and the sessions of weights in files", async (threads, context) => {
    if (!detectFeatures().has(variant)) context.skip(`this engine lacks ${variant}`);
    const [expected, found] = [await openModel(inFiles, { variant, threads }), await openModel(inModules, { variant, threads })];
    const tokens = someTokens(20, files.model.vocabSize);
    expect(firstDifference(forwardAll(found, tokens), forwardAll(expected, tokens))).toBeNull();
    const settings = { maxTokens: 4, temperature: 0, ignoreEos: true };
    for (const [from, to] of [
      [expected, found],
      [found, expected],
    ] as const) {
      const session = from.createSession();
      await session.complete(tokens, settings);
      const moved = to.restore(session.save());
      const [here, there] = [await session.complete([1], settings), await moved.complete([1], settings)];
      expect(there.tokens).toEqual(here.tokens);
      session.release();
      moved.release();
    }
    await Promise.all([expected.dispose(), found.dispose()]);
  });
});

test("a model is loaded from a module and a manifest alone, as often as is liked", async () => {
  const module = await WebAssembly.compile(await moduleOf(inModules, "model.simd128.wasm"));
  for (let time = 0; time < 2; time++) {
    const model = await load({ manifest: modules, module, tokenizer: null });
    const { tokens } = await model.createSession().complete([1, 2, 3], { maxTokens: 4, temperature: 0, ignoreEos: true });
    expect(tokens).toHaveLength(4);
    await model.dispose();
  }
});

describe("refused", () => {
  test("a weight that was altered", async () => {
    const altered = join(folder, "altered");
    await cp(inModules, altered, { recursive: true });
    const bytes = await moduleOf(altered, "model.simd128.wasm");
    const at = bytes.length - 100;
    await writeFile(join(altered, "model.simd128.wasm"), bytes.with(at, (bytes[at] ?? 0) ^ 1));
    const error = await refusal(() => load({ base: pathToFileURL(`${altered}/`), variant: "simd128", verify: true }));
    expect(error.code).toBe("artefact/mismatch");
    expect(error.message).toContain("model.simd128.wasm: sha256");
  });

  test("a module that holds no weights, or too many of them", async () => {
    const bare = await WebAssembly.compile(await moduleOf(inFiles, "model.simd128.wasm"));
    const error = await refusal(() => load({ manifest: modules, module: bare, tokenizer: null }));
    expect(error.code).toBe("artefact/mismatch");
    expect(error.message).toContain("model.simd128.wasm: exports no function `embed`");
    const { pages } = files.memory;
    const asm = new Assembler({ pages, data: true });
    asm.addFunction("embed", [], [], [asm.takeData(pages * 65536 - 1, 2)]);
    asm.addFunction("forward", ["i32", "i32"], [], []);
    asm.exportFunction("embed");
    asm.exportFunction("forward");
    const long = await WebAssembly.compile(Buffer.concat(withData(asm.finish({ optimize: false }).binary, Uint8Array.of(1, 2))));
    expect((await refusal(() => load({ manifest: modules, module: long, tokenizer: null }))).message).toContain("other weights");
  });

  test.each<readonly [string, object, string, RegExp]>([
    ["beside --shard-size", { shardSize: 8192 }, "--shard-size", /--embed-weights/],
    ["of a C target", { target: "c" }, "--embed-weights", /LINKED_WEIGHTS=1/],
    ["of a large model", { model: join(shapesFolder, "LFM2-1.2B"), dryRun: true }, "--embed-weights", /268435456.*--shard-size/s],
  ])("%s", async (_, more, subject, words) => {
    const output = join(folder, "refused");
    const error = await refusedCompile(() => compile({ ...options, target: "wasm-simd", output, embedWeights: true, ...more }));
    expect(error).toMatchObject({ code: "usage/flag", subject });
    expect(`${error.message} ${error.hint}`).toMatch(words);
    expect(await readdir(folder)).not.toContain("refused");
  });
});

/** Lengths whose LEB128 has one byte to four. */
const lengths = [0, 1, 127, 128, 16383, 16384, 2 ** 21];

test.for([32, 64] as const)("data of any length comes whole into a memory of %i-bit addresses", async (addresses, context) => {
  if (addresses === 64 && !detectFeatures().has("memory64")) context.skip("this engine lacks memory64");
  for (const length of lengths) {
    const asm = new Assembler({ pages: 64, addresses, data: true });
    asm.addFunction("embed", [], [], [asm.takeData(64, length)]);
    asm.exportFunction("embed");
    const data = Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) | 1);
    const module = await WebAssembly.compile(Buffer.concat(withData(asm.finish({ optimize: true }).binary, data)));
    const memory = newMemory(64, addresses === 64 ? ["memory64"] : []);
    const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
    if (!hasFunctions(exports, "embed")) throw new Error("no embed");
    const { embed } = exports;
    embed();
    // The segment is gone.
    if (length > 0) expect(embed).toThrow(WebAssembly.RuntimeError);
    const bytes = Buffer.from(memory.buffer);
    expect(Buffer.compare(bytes.subarray(64, 64 + length), data)).toBe(0);
    expect(bytes.subarray(64 + length, 64 + length + 64).every((byte) => byte === 0)).toBe(true);
  }
});
