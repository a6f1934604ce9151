/**
 * Loading a real, tiny artefact: a WebAssembly module on the contract's memory whose next token is a table look-up in the weights,
 * so a model that speaks has every byte of every part at its place.
 */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import wabtInit from "wabt";
import { templateOf } from "../../runtime/chat/index.ts";
import { byteReader } from "../../runtime/bytes.ts";
import { LfmcError } from "../../runtime/errors.ts";
import type { LoadOptions, LoadProgress } from "../../runtime/load.ts";
import { load } from "../../runtime/load-module.ts";
import type { Manifest } from "../../runtime/manifest.ts";
import type { ArtefactSource } from "../../runtime/sources.ts";
import { demoFolder, fakeManifest, readDemoJson, refusal, sealed, weightPart } from "./support.ts";

const folder = mkdtempSync(join(tmpdir(), "lfmc-load-"));
const base = pathToFileURL(`${folder}/`);
const fake = fakeManifest({ vocabSize: 4096, eos: [2] });
/** Two bytes a token: token t is followed by 4 t + 3 mod 4096. */
const table = Uint8Array.from({ length: 8192 }, (_, i) => ((((i >> 1) * 4 + 3) % 4096) >> (i & 1 ? 8 : 0)) & 255);
const partSizes = [3000, 5000, 192];
const parts = partSizes.map((size, i) => {
  const start = partSizes.slice(0, i).reduce((a, b) => a + b, 0);
  return table.slice(start, start + size);
});
const chain = (token: number, count: number): number[] => Array.from({ length: count }, () => (token = (token * 4 + 3) % 4096));

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** The module: for every row that wants them, logits that are 1 at the table's token, which is the choice. */
function moduleText({ memory, limits }: Manifest): string {
  return `(module
    (import "env" "memory" (memory ${memory.pages} ${memory.pages}))
    (func (export "forward") (param $rows i32) (param $logits i32) (local $row i32) (local $out i32) (local $choice i32) (local $token i32)
      (local.set $row (i32.const ${memory.rows.offset}))
      (local.set $out (i32.const ${memory.logits.offset}))
      (local.set $choice (i32.const ${memory.choices.offset}))
      (memory.fill (local.get $out) (i32.const 0) (i32.const ${memory.logits.strideBytes * limits.logitRows}))
      (loop $next
        (if (i32.load offset=12 (local.get $row)) (then
          (local.set $token (i32.load16_u offset=${memory.weights.offset} (i32.shl (i32.load (local.get $row)) (i32.const 1))))
          (f32.store (i32.add (local.get $out) (i32.shl (local.get $token) (i32.const 2))) (f32.const 1))
          (i32.store (local.get $choice) (local.get $token))
          (local.set $choice (i32.add (local.get $choice) (i32.const 4)))
          (local.set $out (i32.add (local.get $out) (i32.const ${memory.logits.strideBytes})))))
        (local.set $row (i32.add (local.get $row) (i32.const 16)))
        (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
        (br_if $next (local.get $rows)))))`;
}

let wasm = new Uint8Array(0);
let manifest: Manifest = fake;

function artefactManifest(): Manifest {
  const { memory } = fake;
  const offset = 2 * 65536;
  const pages = 3;
  return sealed({
    ...fake,
    memory: { ...memory, pages, bytes: pages * 65536, weights: { offset, bytes: 8192 } },
    weights: parts.map((bytes, i) => weightPart(`weights/weights-${i}.bin`, bytes)),
    files: { tokenizer: "tokenizer.json", tokenizerConfig: "tokenizer_config.json", chatTemplate: null },
  });
}

beforeAll(async () => {
  manifest = artefactManifest();
  const wabt = await wabtInit();
  const parsed = wabt.parseWat("model.wat", moduleText(manifest), { bulk_memory: true });
  wasm = Uint8Array.from(parsed.toBinary({}).buffer);
  manifest = sealed({ ...manifest, variants: manifest.variants.map((one) => ({ ...one, bytes: wasm.length, sha256: sha256(wasm) })) });
  mkdirSync(join(folder, "weights"));
  for (const [path, bytes] of files()) writeFileSync(join(folder, path), bytes);
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

function files(): Map<string, Uint8Array> {
  const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
  return new Map([
    ["manifest.json", text(manifest)],
    ["model.wasm", wasm],
    ["tokenizer.json", text(readDemoJson("tokenizer.json"))],
    ["tokenizer_config.json", text(readDemoJson("tokenizer_config.json"))],
    ...parts.map((bytes, i): [string, Uint8Array] => [`weights/weights-${i}.bin`, bytes]),
  ]);
}

/** The artefact in memory, streamed in odd pieces, with some files replaced or (null) missing. */
function memorySource(changes: Readonly<Record<string, Uint8Array | null>> = {}): ArtefactSource {
  const all = files();
  for (const [path, bytes] of Object.entries(changes)) {
    if (bytes) all.set(path, bytes);
    else all.delete(path);
  }
  const get = (path: string): Uint8Array => all.get(path) ?? new Uint8Array(0);
  return {
    read: (path) => Promise.resolve(get(path)),
    open: (path, start, signal) => Promise.resolve(byteReader(odd(get(path).subarray(start)), { path }, signal)),
  };
}

/** All that an edge worker passes. */
async function workerOptions(): Promise<LoadOptions> {
  return {
    manifest,
    module: await WebAssembly.compile(wasm),
    tokenizer: null,
    weights: (i) => Promise.resolve(parts[i] ?? new Uint8Array(0)),
  };
}

async function speaks(options: LoadOptions): Promise<void> {
  const model = await load(options);
  for (const token of [5, 1600, 4090]) {
    const session = model.createSession();
    const { tokens } = await session.complete([token], { maxTokens: 6, ignoreEos: true });
    expect(tokens).toEqual(chain(token, 6));
    session.release();
  }
  await model.dispose();
}

async function* odd(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  await Promise.resolve();
  for (let at = 0; at < bytes.length; at += 1001) yield bytes.subarray(at, at + 1001);
}

describe("a model loads", () => {
  test("from its folder, through the host's files, with tokenizer, verified, with progress", async () => {
    const progress: LoadProgress[] = [];
    const model = await load({ base, verify: true, onProgress: (one) => progress.push(one) });
    expect(model.variant?.name).toBe("simd128");
    expect(model.loadSeconds).toBeGreaterThan(0);
    expect(model.tokenizer?.encode("It is")[0]).toBe(1);
    const loaded = progress.filter(({ phase }) => phase === "weights").map(({ loadedBytes }) => loadedBytes);
    expect(loaded).toEqual([3000, 8000, 8192]);
    expect([progress[0]?.phase, progress.at(-1)?.phase, progress.at(-1)?.totalBytes]).toEqual(["module", "ready", 8192]);
    const { text, tokens } = await model.createSession().complete("It", { maxTokens: 4, ignoreEos: true });
    expect(text).toBe(model.tokenizer?.decode(tokens));
    await speaks({ base });
  });

  test("from any source", () => speaks({ source: memorySource(), verify: true }));

  test("over HTTP", async () => {
    const all = files();
    const server = createServer((request, response) => {
      const bytes = all.get((request.url ?? "").replace(/^\/model\//, ""));
      response.writeHead(bytes ? 200 : 404).end(bytes);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const url = new URL(`http://127.0.0.1:${port}/model/`);
    try {
      await speaks({ base: url, verify: true });
      all.delete("weights/weights-1.bin");
      expect((await refusal(() => load({ base: url }))).code).toBe("io/missing");
    } finally {
      server.close();
    }
    expect((await refusal(() => load({ base: url }))).code).toBe("io/unreadable");
  });

  test("from a compiled module and weights of every kind", async () => {
    const options = await workerOptions();
    await speaks(options);
    await speaks({ ...options, weights: base });
    await speaks({ ...options, weights: odd(table) });
    await speaks({ ...options, weights: new Response(table) });
    await speaks({ ...options, weights: new Blob([table]).stream() });
    await speaks({ ...options, module: new Response(wasm) });
    await speaks({ ...options, module: new URL("model.wasm", base) });
    await speaks({ ...options, tokenizer: { json: readDemoJson("tokenizer.json") } });
  });
});

describe("is refused", () => {
  const cut = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, -1);
  const longer = (bytes: Uint8Array): Uint8Array => Uint8Array.of(...bytes, 0);
  const other = (bytes: Uint8Array): Uint8Array => bytes.with(100, (bytes[100] ?? 0) ^ 1);
  const part = parts[1] ?? new Uint8Array(0);

  test.each<readonly [string, string, () => Readonly<Record<string, Uint8Array>>, LoadOptions]>([
    ["a part cut short", "artefact/mismatch", () => ({ "weights/weights-1.bin": cut(part) }), {}],
    ["a part too long", "artefact/mismatch", () => ({ "weights/weights-1.bin": longer(part) }), {}],
    ["an altered part", "artefact/mismatch", () => ({ "weights/weights-1.bin": other(part) }), {}],
    ["an altered module", "artefact/mismatch", () => ({ "model.wasm": other(wasm) }), {}],
    ["a module cut short", "artefact/mismatch", () => ({ "model.wasm": cut(wasm) }), {}],
    ["a module that is none", "run/variant", () => ({ "model.wasm": wasm.with(0, 1) }), { verify: false }],
    ["a manifest that is not JSON", "artefact/invalid", () => ({ "manifest.json": Uint8Array.of(123) }), {}],
    ["a tokenizer that is not JSON", "artefact/invalid", () => ({ "tokenizer.json": Uint8Array.of(123) }), {}],
    ["a variant that is not there", "run/variant", () => ({}), { variant: "relaxed" }],
    ["threads without a threaded module", "run/variant", () => ({}), { threads: 2 }],
  ])("%s", async (_, code, changes, options) => {
    expect((await refusal(() => load({ source: memorySource(changes()), ...options }))).code).toBe(code);
  });

  test("an altered part, unless verify is off or the host cannot hash", async () => {
    const source = memorySource({ "weights/weights-1.bin": other(part) });
    await (await load({ source, verify: false })).dispose();
    vi.spyOn(process, "getBuiltinModule").mockReturnValue(undefined);
    try {
      expect((await refusal(() => load({ source }))).code).toBe("artefact/mismatch");
      vi.stubGlobal("crypto", {});
      await (await load({ source })).dispose();
      expect(await refusal(() => load({ source, verify: true }))).toEqual({
        code: "run/variant",
        message: "verify: this host hashes nothing: pages have crypto.subtle only in a secure context",
      });
    } finally {
      vi.unstubAllGlobals();
      vi.restoreAllMocks();
    }
  });

  test("weights of the wrong length, from the caller", async () => {
    const options = await workerOptions();
    for (const weights of [odd(cut(table)), odd(longer(table)), new Response(table.slice(0, -1)), () => Promise.resolve(part)]) {
      expect((await refusal(() => load({ ...options, weights }))).code).toBe("artefact/mismatch");
    }
    expect((await refusal(() => load({ ...options, weights: new Response(null, { status: 404 }) }))).code).toBe("io/missing");
  });

  test("a folder with a part missing, cut short or too long", async () => {
    const path = join(folder, "weights/weights-1.bin");
    try {
      for (const bytes of [cut(part), longer(part)]) {
        writeFileSync(path, bytes);
        expect((await refusal(() => load({ base }))).code).toBe("artefact/mismatch");
      }
      rmSync(path);
      expect((await refusal(() => load({ base }))).code).toBe("io/missing");
    } finally {
      writeFileSync(path, part);
    }
    expect((await refusal(() => load({ base: new URL("nowhere/", demoFolder) }))).code).toBe("io/missing");
  });

  test("a module of another contract", async () => {
    const options = await workerOptions();
    const wabt = await wabtInit();
    for (const text of ["(module)", '(module (import "env" "memory" (memory 9 9)) (func (export "forward") (param i32 i32)))']) {
      const module = await WebAssembly.compile(Uint8Array.from(wabt.parseWat("x.wat", text).toBinary({}).buffer));
      expect((await refusal(() => load({ ...options, module }))).code).toBe("artefact/mismatch");
    }
  });

  test("what is no module, and a function that fails to give one", async () => {
    const options = await workerOptions();
    const wrong: readonly unknown[] = ["model.wasm", null, {}, Promise.resolve(new Response(new Uint8Array(wasm))), () => undefined];
    for (const module of wrong) {
      const given = { ...options, ...Object.fromEntries([["module", module]]) };
      expect(await refusal(() => load(given))).toMatchObject({ code: "run/input", message: expect.stringMatching(/^module/) as string });
    }
    const fails = (): never => {
      throw new Error("no such object");
    };
    expect(await refusal(() => load({ ...options, module: fails }))).toMatchObject({
      code: "io/unreadable",
      message: expect.stringMatching(/^model.wasm/) as string,
    });
    const cache = Object.fromEntries([["cache", "indexed-db"]]);
    expect(await refusal(() => load({ ...options, ...cache }))).toMatchObject({
      code: "run/input",
      message: expect.stringMatching(/^cache/) as string,
    });
  });

  test("a host without WebAssembly", async () => {
    const options = await workerOptions();
    const { WebAssembly: whole } = globalThis;
    Reflect.deleteProperty(globalThis, "WebAssembly");
    try {
      expect(await refusal(() => load(options))).toMatchObject({
        code: "run/variant",
        message: expect.stringMatching(/no WebAssembly/) as string,
      });
    } finally {
      Reflect.set(globalThis, "WebAssembly", whole);
    }
  });

  test("nothing to load from, by the name of what is missing", async () => {
    const { code, message } = await refusal(() => load({}));
    expect(code).toBe("io/missing");
    expect(message).toContain("manifest.json");
    const { weights: _, ...options } = await workerOptions();
    expect((await refusal(() => load(options))).message).toContain("weights/weights-0.bin");
  });

  test("an abort, before and between parts", async () => {
    expect((await refusal(() => load({ base, signal: AbortSignal.abort() }))).code).toBe("run/aborted");
    const inFlight = new AbortController();
    const hanging: ArtefactSource = {
      ...memorySource(),
      read: () => {
        inFlight.abort();
        return Promise.reject(new DOMException("aborted", "AbortError"));
      },
    };
    expect((await refusal(() => load({ source: hanging, signal: inFlight.signal }))).code).toBe("run/aborted");
    const controller = new AbortController();
    const loaded: number[] = [];
    const onProgress = ({ loadedBytes }: LoadProgress): void => {
      loaded.push(loadedBytes);
      if (loadedBytes > 0) controller.abort();
    };
    expect((await refusal(() => load({ base, signal: controller.signal, onProgress }))).code).toBe("run/aborted");
    expect(Math.max(...loaded)).toBe(3000);
  });

  test("a tokenizer that is missing, before the weights are there: of those nothing more is told", async () => {
    const seen: LoadProgress[] = [];
    async function* slow(): AsyncGenerator<Uint8Array, void, void> {
      yield table.subarray(0, 100);
      await new Promise((resolve) => setTimeout(resolve, 20));
      yield table.subarray(100);
    }
    const { manifest: found } = await workerOptions();
    const read: ArtefactSource["read"] = async (path) => {
      if (path === "model.wasm") return wasm;
      await new Promise((resolve) => setTimeout(resolve, 10));
      throw new LfmcError("io/missing", "is not there", { subject: path, hint: "Bring it." });
    };
    const onProgress = (progress: LoadProgress): void => void seen.push(progress);
    const { message } = await refusal(() => load({ manifest: found, source: { read }, weights: slow(), onProgress }));
    expect(message).toBe("tokenizer.json: is not there");
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(seen.map(({ loadedBytes }) => loadedBytes)).toEqual([0, 100]);
  });
});

describe("the chat template", () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  const naming = (): Manifest => ({ ...manifest, files: { ...manifest.files, chatTemplate: "t.jinja" } });
  const holding = (text: string): ArtefactSource =>
    memorySource({ "manifest.json": bytes(JSON.stringify(naming())), "t.jinja": bytes(text) });
  const rendered = async (options: LoadOptions): Promise<string | undefined> => {
    const model = await load({ source: holding("{{ bos_token }}é{{ eos_token }}"), ...options });
    const text = templateOf(model)?.render([]);
    await model.dispose();
    return text;
  };

  test("is the artefact's file, knows the model's tokens, and may be replaced or left out", async () => {
    expect(await rendered({})).toBe("<|startoftext|>é<|endoftext|>");
    expect(await rendered({ chatTemplate: "own {{ pad_token }}" })).toBe("own <|pad|>");
    expect(await rendered({ chatTemplate: null })).toBeUndefined();
    expect(await rendered({ tokenizer: null })).toBe("é");
  });

  test("need not be given where the parts are given one by one", async () => {
    const given = { manifest: naming(), module: await WebAssembly.compile(new Uint8Array(wasm)), tokenizer: null };
    const model = await load({ ...given, weights: (index) => Promise.resolve(parts[index] ?? new Uint8Array(0)) });
    expect(model.chatTemplate).toBeNull();
    await model.dispose();
  });

  test("hinders nobody where it does not parse: what renders it is told", async () => {
    const model = await load({ source: holding("{{") });
    expect(await refusal(() => templateOf(model)?.render([]))).toMatchObject({ code: "chat/template" });
    await model.dispose();
  });
});
