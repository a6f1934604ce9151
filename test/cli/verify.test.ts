/**
 * `lfmc verify`: a whole artefact passes line by line; whatever was cut, altered, mixed up or forged is named, with the way out, and no damage
 * makes the command itself fail.
 */
import { createHash } from "node:crypto";
import { appendFile, cp, mkdir, readdir, readFile, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import wabtInit from "wabt";
import { packageVersion } from "../../compiler/artefact/manifest.ts";
import { wordsOf } from "../../compiler/artefact/verify/finding.ts";
import { findingsOf } from "../../compiler/commands/verify.ts";
import { compile } from "../../compiler/index.ts";
import type { Manifest, PackedTensor, Variant } from "../../runtime/manifest.ts";
import { manifestChecksum, parseManifest } from "../../runtime/manifest-parse.ts";
import { caseFolder } from "../golden/read.ts";
import { workFolder } from "../model/support.ts";
import { json, lfmc, output, record } from "./support.ts";

const folder = await workFolder();
const model = join(folder, "model");
const modules = join(folder, "modules");
const embedded = join(folder, "embedded");
const library = join(folder, "library");
const artefact = join(folder, "artefact");
const shard = "weights/00001.bin";

/** A tokenizer with a token for each byte. */
function byteTokenizer(): unknown {
  const isShown = (byte: number): boolean => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  const hidden = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !isShown(byte));
  const letter = (byte: number): string => String.fromCodePoint(isShown(byte) ? byte : 256 + hidden.indexOf(byte));
  const vocab = Object.fromEntries(Array.from({ length: 256 }, (_, byte) => [letter(byte), byte]));
  return {
    version: "1.0",
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab, merges: [] },
  };
}

beforeAll(async () => {
  await mkdir(model);
  for (const file of ["config.json", "model.safetensors"]) await cp(join(caseFolder("dense-tiny"), file), join(model, file));
  await writeFile(join(model, "tokenizer.json"), JSON.stringify(byteTokenizer()));
  await writeFile(join(model, "chat_template.jinja"), "{% for message in messages %}{{ message.content }}{% endfor %}\n");
  const limits = { model, context: 96, prefillChunk: 8 };
  await compile({ ...limits, target: "wasm-simd", output: modules, features: ["simd128", "threads"], shardSize: 100_000 });
  await compile({ ...limits, target: "wasm-simd", output: embedded, features: ["simd128", "relaxed"], embedWeights: true });
  await compile({ ...limits, target: "c", output: library });
});

interface Line {
  readonly state: "ok" | "note" | "fault";
  readonly subject: string;
  readonly fact: string;
}

/** What verify finds in the folder. */
async function lines(of: string): Promise<readonly Line[]> {
  const found: Line[] = [];
  for await (const finding of findingsOf(of)) found.push({ state: finding.state, ...wordsOf(finding) });
  return found;
}

async function faults(of: string = artefact): Promise<readonly string[]> {
  return (await lines(of)).filter(({ state }) => state === "fault").map(({ subject, fact }) => `${subject}: ${fact}`);
}

async function restore(from: string): Promise<void> {
  await rm(artefact, { recursive: true, force: true });
  await cp(from, artefact, { recursive: true });
}

async function readManifest(): Promise<Manifest> {
  return parseManifest(JSON.parse(await readFile(join(artefact, "manifest.json"), "utf8")));
}

/** Changes the manifest and its checksum, which anybody can compute. */
async function forge(change: (manifest: Manifest) => Partial<Manifest>): Promise<void> {
  const manifest = await readManifest();
  const changed = { ...manifest, ...change(manifest) };
  await writeFile(join(artefact, "manifest.json"), JSON.stringify({ ...changed, checksum: manifestChecksum(changed) }));
}

/** Puts `bytes` in the place of a variant's module, or source, and into the manifest. */
async function forgeModule(name: string, bytes: Uint8Array): Promise<void> {
  const facts = { bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
  await writeFile(join(artefact, name), bytes);
  await forge(({ variants }) => ({ variants: variants.map((each) => (each.module === name ? { ...each, ...facts } : each)) }));
}

async function flip(path: string, at: number): Promise<void> {
  const bytes = await readFile(join(artefact, path));
  bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ 0x10;
  await writeFile(join(artefact, path), bytes);
}

describe("a whole artefact", () => {
  test.each([
    [
      "of modules",
      () => modules,
      [shard, "model.simd128-threads.wasm", "model.hash", "tokenizer.json", "chat_template.jinja", "package.json"],
    ],
    ["with weights in its modules", () => embedded, ["model.simd128.wasm", "model.relaxed.wasm", "model.hash"]],
    ["of C", () => library, ["weights.bin", "model_scalar.c", "model.h", "main.c", "model.hash"]],
  ])("%s passes, and every line says what was seen", async (_, of, subjects) => {
    const found = await lines(of());
    expect(found.filter(({ state }) => state !== "ok")).toEqual([]);
    expect(found.map(({ subject }) => subject)).toEqual(
      expect.arrayContaining(["manifest.json", "tensors", "memory", "state", ...subjects]),
    );
    expect(found.every(({ fact }) => fact.length > 5)).toBe(true);
  });

  test("on the command line: a line each, exit status 0", async () => {
    const text = await output(["verify", modules]);
    expect(text).toMatch(/^ok {5}weights\/00001\.bin {2}[0-9,]+ bytes, sha256 [0-9a-f]{12}…$/m);
    expect(text.split("\n").filter((line) => line !== "" && !line.startsWith("ok     "))).toEqual([]);
    const { ok, checks } = await json(["verify", library]);
    expect(ok).toBe(true);
    expect(JSON.stringify(checks)).toMatch(/\{"subject":"weights\.bin","ok":true,"fact":"[^"]+ bytes, sha256 /);
  });
});

test("on the command line every fault is told, and the exit status is 1", async () => {
  await restore(modules);
  await flip(shard, 77);
  const one = await lfmc(["verify", artefact]);
  expect(one.status).toBe(1);
  expect(one.stdout).toMatch(/^fault {2}weights\/00001\.bin {2}bytes 0 to \d+ have sha256 .* the manifest says .*$/m);
  expect(one.stderr).toMatch(/^error: weights\/00001\.bin: .*\[artefact\/mismatch\]\nhint: the file was altered .*\n$/);
  await rm(join(artefact, "model.simd128.wasm"));
  const two = await lfmc(["verify", artefact, "--json"]);
  expect(two.status).toBe(1);
  const { ok, checks } = record(JSON.parse(two.stdout));
  expect(ok).toBe(false);
  expect(JSON.stringify(checks)).toContain('{"subject":"model.simd128.wasm","ok":false,"fact":"is missing"}');
  expect(two.stderr).toMatch(/artefact: 3 of \d+ checks fail, first of all weights\/00001\.bin: bytes/);
  const none = await lfmc(["verify", model]);
  expect(none.status).toBe(1);
  expect(none.stderr).toMatch(/is not an artefact/);
});

describe("files", () => {
  beforeEach(() => restore(modules));
  const at = (path: string): string => join(artefact, path);

  test.each<readonly [string, () => unknown, readonly RegExp[]]>([
    ["a shard that is cut short", () => truncate(at(shard), 999), [/^weights\/00001\.bin: has 999 bytes, the manifest says [0-9,]+ bytes/]],
    ["a shard that is longer", () => appendFile(at(shard), "x"), [/^weights\/00001\.bin: has [0-9,]+ bytes/]],
    ["a shard that is altered", () => flip(shard, 5), [/^weights\/00001\.bin: bytes 0 to \d+ have/]],
    ["two shards that are missing", () => rm(at("weights"), { recursive: true }), [/00000\.bin: is missing/, /00001\.bin: is missing/]],
    [
      "a folder in a shard's place",
      async () => {
        await rm(at(shard));
        await mkdir(at(shard));
      },
      [/^weights\/00001\.bin: is a folder/],
    ],
    [
      "a link out of the folder, to the right bytes",
      async () => {
        await rename(at(shard), join(folder, "elsewhere.bin"));
        await symlink(join(folder, "elsewhere.bin"), at(shard));
      },
      [/^weights\/00001\.bin: leads out of the artefact/],
    ],
    ["a module that is altered", () => flip("model.simd128.wasm", 999), [/^model\.simd128\.wasm: has sha256/]],
    ["a manifest that is altered", () => writeFile(at("manifest.json"), '{"format":"lfmc-artefact"}'), [/^manifest\.json: version/]],
    ["an entry point that is missing", () => rm(at("worker.d.ts")), [/^worker\.d\.ts: is missing/]],
    ["the runtime missing", () => rm(at("runtime.js")), [/^runtime\.js: is missing/]],
    ["the threads' script missing", () => rm(at("thread.js")), [/^thread\.js: is missing/]],
    ["package.json cut short", () => truncate(at("package.json"), 40), [/^package\.json: is not JSON/]],
    ["exports that lead elsewhere", () => writeFile(at("package.json"), '{"exports":"./../x.js"}'), [/^\.\.\/x\.js: /]],
    ["a tokenizer cut short", () => truncate(at("tokenizer.json"), 100), [/tokenizer\.json: is not JSON/]],
    [
      "a tokenizer of another model",
      async () => writeFile(at("tokenizer.json"), (await readFile(at("tokenizer.json"), "utf8")).replaceAll(/:(\d{2,3})/g, ":1$1")),
      [/tokenizer\.json: gives token 1\d+, outside/],
    ],
    ["a chat template that does not parse", () => writeFile(at("chat_template.jinja"), "{% if %}"), [/^chat template: does not parse/]],
  ])("%s", async (_, damage, expected) => {
    await damage();
    const found = await faults();
    for (const [i, pattern] of expected.entries()) expect(found[i]).toMatch(pattern);
  });

  test("what may be edited is told of, and no fault", async () => {
    await appendFile(at("README.md"), "More.\n");
    await appendFile(at("runtime.js"), "\n");
    await forge(() => ({ sampling: { temperature: 1, topK: 3, topP: 1, minP: 0, repetitionPenalty: 1 } }));
    const found = await lines(artefact);
    expect(found.filter(({ state }) => state !== "ok").map(({ state, subject }) => [state, subject])).toEqual([
      ["note", "README.md"],
      ["note", "runtime.js"],
    ]);
    await forge(() => ({ lfmc: `${packageVersion}-other` }));
    expect((await lines(artefact)).filter(({ state }) => state === "note").map(({ subject }) => subject)).toEqual(["lfmc"]);
  });
});

describe("a plan that does not hold together, with a checksum that fits", () => {
  beforeEach(() => restore(modules));

  const withTensor =
    (index: number, change: (tensor: PackedTensor) => Partial<PackedTensor>) =>
    (m: Manifest): Partial<Manifest> => ({
      tensors: m.tensors.map((tensor, i) => (i === index ? { ...tensor, ...change(tensor) } : tensor)),
    });

  test.each<readonly [string, (m: Manifest) => Partial<Manifest>, RegExp]>([
    ["a tensor that is moved", withTensor(3, ({ offset }) => ({ offset: offset - 64 })), /tensors\[3\] .* begins at/],
    ["a tensor between two lines", withTensor(1, ({ offset }) => ({ offset: offset + 4 })), /tensors\[1\] .* begins at/],
    [
      "a tensor of another shape",
      withTensor(0, ({ shape: [rows = 0, columns = 0] }) => ({ shape: [rows * 2, columns] })),
      /tensors\[0\] .* bytes; \[512/,
    ],
    ["a tensor of another encoding", withTensor(0, () => ({ encoding: "q8_0" })), /tensors\[0\] .* in q8_0 has/],
    ["an encoding that nobody packs", withTensor(0, () => ({ encoding: "q2_0" })), /tensors\[0\] .* is nothing that lfmc packs/],
    ["a tensor that is there twice", (m) => ({ tensors: [...m.tensors, ...m.tensors.slice(0, 1)] }), /is there twice/],
    ["the last tensor missing", (m) => ({ tensors: m.tensors.slice(0, -1) }), /memory\.weights has \d+ bytes, its tensors take/],
    [
      "a region between two lines",
      ({ memory }) => ({ memory: { ...memory, scratch: { offset: memory.scratch.offset + 4, bytes: memory.scratch.bytes - 4 } } }),
      /memory\.scratch begins at \d+, not on a line/,
    ],
    [
      "rows where threads keep their words",
      ({ memory }) => ({ memory: { ...memory, rows: { ...memory.rows, offset: 64 } } }),
      /memory\.rows begins at 64, below 1024/,
    ],
    [
      "a memory with a page more",
      ({ memory }) => ({ memory: { ...memory, pages: memory.pages + 1, bytes: memory.bytes + 65536 } }),
      /memory has \d+ bytes, its regions take/,
    ],
    [
      "a state with room behind its slots",
      ({ memory }) => ({
        memory: {
          ...memory,
          state: {
            ...memory.state,
            slotBytes: memory.state.slotBytes - 64,
            checkpoints: { ...memory.state.checkpoints, offset: memory.state.checkpoints.offset - 64 },
          },
        },
      }),
      /memory\.state has \d+ bytes, 1 slots of/,
    ],
    [
      "more checkpoints than the context has",
      ({ memory }) => ({
        memory: { ...memory, state: { ...memory.state, checkpoints: { offset: memory.state.slotBytes - 64, bytes: 64, interval: 128 } } },
      }),
      /memory\.state\.checkpoints has 64 bytes, 0 of them take 0/,
    ],
    [
      "slots that hold no whole KV cache",
      ({ memory }) => {
        const [slotBytes, bytes] = [memory.state.slotBytes - 64, memory.state.bytes - 64];
        return {
          memory: { ...memory, state: { ...memory.state, slotBytes, bytes, checkpoints: { offset: slotBytes, bytes: 0, interval: 128 } } },
        };
      },
      /memory\.state\.slotBytes leaves \d+ bytes for the KV cache, which do not divide/,
    ],
    [
      "another hash",
      ({ model: facts }) => ({ model: { ...facts, hash: "ab".repeat(32) } }),
      /^manifest\.json: model\.hash is sha256 ababab/,
    ],
    ["another KV cache", ({ quantization }) => ({ quantization: { ...quantization, kv: "f32" } }), /^manifest\.json: model\.hash is/],
  ])("%s", async (_, change, expected) => {
    await forge(change);
    expect((await faults()).join("\n")).toMatch(expected);
  });
});

describe("modules that were compiled to something else, with a hash that fits", () => {
  beforeEach(() => restore(modules));
  const name = "model.simd128.wasm";

  /** A module of one thread with these texts in the place of what is right. */
  async function assemble(changes: Readonly<Partial<Record<"import" | "export" | "more" | "label", string>>>): Promise<Uint8Array> {
    const { memory } = await readManifest();
    const text = `(module ${changes.import ?? `(import "env" "memory" (memory ${memory.pages} ${memory.pages}))`}
      ${changes.export ?? '(func (export "forward") (param i32 i32))'} ${changes.more ?? ""})`;
    const tool = await wabtInit();
    const features = { simd: true, relaxed_simd: true, threads: true };
    const { buffer } = tool.parseWat("forged.wat", text, features).toBinary({});
    const label = new TextEncoder().encode(`\u0004lfmc${changes.label ?? "simd128"}`);
    return Uint8Array.from([...buffer, 0, label.length, ...label]);
  }

  test.each<readonly [string, Parameters<typeof assemble>[0], RegExp | null]>([
    ["nothing wrong", {}, null],
    ["more memory", { import: '(import "env" "memory" (memory 999 999))' }, /imports a 32-bit memory of 999 to 999 pages, the plan is/],
    ["memory without an end", { import: '(import "env" "memory" (memory 1))' }, /of 1 to any pages, the plan/],
    ["shared memory", { import: '(import "env" "memory" (memory 1 2 shared))' }, /imports a shared 32-bit memory/],
    ["a memory of its own", { import: "(memory 1)" }, /imports nothing, not env\.memory alone/],
    ["a function of the host's", { import: '(import "env" "f" (func))' }, /imports env\.f, not env\.memory/],
    ["no forward", { export: "" }, /exports nothing, a module of this kind forward/],
    ["one export more", { more: '(func (export "embed"))' }, /exports embed, forward, a module of this kind forward/],
    ["an exported global", { more: '(global (export "g") i32 (i32.const 0))' }, /exports forward, g, a module/],
    ["another variant's name", { label: "relaxed" }, /says that it is "relaxed", not "simd128"/],
    ["a thread's name", { label: "simd128 threads" }, /says that it is "simd128 threads"/],
    ["data that writes itself", { more: '(data (i32.const 0) "x")' }, /has a data segment that writes/],
    ["data to copy", { more: '(data "x")' }, /has 1 data segments, a module of this kind 0/],
    [
      "a relaxed instruction",
      {
        more: "(func (result v128) (i32x4.relaxed_dot_i8x16_i7x16_add_s (v128.const i32x4 0 0 0 0) (v128.const i32x4 0 0 0 0) (v128.const i32x4 0 0 0 0)))",
      },
      /is not made of what simd128 have: unexpected opcode/,
    ],
    ["an atomic instruction", { more: "(func (result i32) (i32.atomic.load (i32.const 0)))" }, /is not made of what simd128 have/],
  ])("%s", async (_, changes, expected) => {
    await forgeModule(name, await assemble(changes));
    const [first] = await faults();
    if (expected === null) expect(first).toBeUndefined();
    else expect(first).toMatch(expected);
  });

  test("a body that is not valid, an empty file and one that is cut short", async () => {
    const bytes = await assemble({ more: "(func (result i32) (i32.const 7))" });
    // `i64.const 7`, which is not what the function gives.
    await forgeModule(
      name,
      bytes.map((byte, i) => (byte === 0x41 && bytes[i + 1] === 7 ? 0x42 : byte)),
    );
    expect((await faults())[0]).toMatch(/model\.simd128\.wasm: is not valid$/);
    await forgeModule(name, bytes.subarray(0, -3));
    expect((await faults())[0]).toMatch(/ends in the middle of a section/);
    await forgeModule(name, new Uint8Array([1]));
    expect((await faults())[0]).toMatch(/is no WebAssembly module/);
  });

  test("a module for an engine that has more than this one is looked at, and not validated", async () => {
    await forge(({ variants }) => ({ variants: variants.map((each) => ({ ...each, features: [...each.features, "gc"] })) }));
    const found = await lines(artefact);
    expect(found.filter(({ state }) => state === "fault")).toEqual([]);
    expect(found.find(({ subject }) => subject === name)?.fact).toMatch(/not validated: this engine lacks gc$/);
  });

  test("the threaded module in the place of the other, and one that holds weights", async () => {
    for (const [other, expected] of [
      [join(artefact, "model.simd128-threads.wasm"), /imports a shared 32-bit memory of \d+ to \d+ pages, the plan is a 32-bit/],
      [join(embedded, "model.simd128.wasm"), /exports embed, forward, a module of this kind forward/],
    ] as const) {
      await forgeModule(name, await readFile(other));
      expect((await faults())[0]).toMatch(expected);
    }
  });
});

describe("weights inside", () => {
  test("a module with others, with a hash that fits", async () => {
    await restore(embedded);
    const [first, second] = (await readManifest()).variants;
    const altered = async ({ module }: Variant): Promise<Uint8Array> => {
      const bytes = await readFile(join(artefact, module));
      const at = bytes.indexOf(Buffer.from([11])) + bytes.length / 2;
      bytes[Math.floor(at)] = (bytes[Math.floor(at)] ?? 0) ^ 1;
      return bytes;
    };
    if (!first || !second) throw new Error("two variants");
    await forgeModule(second.module, await altered(second));
    expect((await faults())[0]).toMatch(/holds weights of sha256/);
    await forgeModule(first.module, await altered(first));
    expect((await faults()).at(-1)).toMatch(/model\.hash is/);
  });

  test("a library whose sources or trailer are not its own", async () => {
    await restore(library);
    await flip("model.h", 100);
    expect(await faults()).toEqual([expect.stringMatching(/^model\.h: has sha256/)]);
    await restore(library);
    const bytes = await readFile(join(artefact, "weights.bin"));
    bytes[bytes.length - 40] = (bytes[bytes.length - 40] ?? 0) ^ 1;
    await writeFile(join(artefact, "weights.bin"), bytes);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    await forge(({ weights }) => ({ weights: weights.map((part) => ({ ...part, sha256, pieces: [sha256] })) }));
    expect(await faults()).toEqual([expect.stringMatching(/^weights\.bin: ends in a trailer/)]);
  });

  test("a library whose manifest names a unit that its target does not have", async () => {
    await restore(library);
    await forge(({ variants }) => ({ variants: variants.map((variant) => ({ ...variant, name: "__proto__" })) }));
    expect(await faults()).toContainEqual(expect.stringMatching(/^manifest\.json: names a variant "__proto__"/));
  });
});

/** Files whose every byte the manifest seals. */
const sealed = /\.(wasm|bin|[ch])$/;
/** Files that are compared with what lfmc writes. */
const written = /^(README\.md|.*\.js)$/;

test("any damage to any file is told, or does no harm", async () => {
  const paths = (await readdir(modules, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && !entry.parentPath.includes("types"))
    .map((entry) => join(entry.parentPath, entry.name).slice(modules.length + 1));
  expect(paths.length).toBeGreaterThan(12);
  await restore(modules);
  let told = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...paths),
      fc.constantFrom("flip", "cut", "grow", "remove"),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      async (path, kind, where, bits) => {
        const bytes = await readFile(join(modules, path));
        const at = where % bytes.length;
        const byte = Uint8Array.of((bytes[at] ?? 0) ^ bits);
        if (kind === "remove") await rm(join(artefact, path));
        if (kind === "cut") await writeFile(join(artefact, path), bytes.subarray(0, at));
        if (kind === "grow") await appendFile(join(artefact, path), byte);
        if (kind === "flip") await writeFile(join(artefact, path), Buffer.concat([bytes.subarray(0, at), byte, bytes.subarray(at + 1)]));
        const found = await lines(artefact);
        await mkdir(dirname(join(artefact, path)), { recursive: true });
        await writeFile(join(artefact, path), bytes);
        const isTold = found.some(({ state }) => state !== "ok");
        if (sealed.test(path)) expect(found.some(({ state }) => state === "fault")).toBe(true);
        if (kind === "remove" || written.test(path)) expect(isTold).toBe(true);
        if (isTold) told++;
        expect(found.every(({ subject, fact }) => !/\p{Cc}/u.test(subject + fact))).toBe(true);
      },
    ),
    { numRuns: 40 },
  );
  expect(told).toBeGreaterThan(20);
  expect(await faults()).toEqual([]);
});
