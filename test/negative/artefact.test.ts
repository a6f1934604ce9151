/** Artefacts that were cut short, mixed up or altered: the runtime refuses them by name, and never runs what it was not compiled to run. */
import { cp, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import wabtInit from "wabt";
import { compile } from "../../compiler/index.ts";
import { detectFeatures, type LoadOptions, load, parseManifest, selectVariant, type Manifest } from "../../runtime/index.ts";
import { manifestChecksum } from "../../runtime/manifest-parse.ts";
import { caseFolder } from "../golden/read.ts";
import { damaged, edits, outcome, refused, workFolder, type JsonObject } from "./support.ts";

const folder = await workFolder();
const pristine = join(folder, "pristine");
const artefact = join(folder, "artefact");
const base = pathToFileURL(`${artefact}/`);
let manifest: Manifest;
let manifestBytes = new Uint8Array(0);

beforeAll(async () => {
  await compile({
    model: caseFolder("dense-tiny"),
    target: "wasm-simd",
    output: pristine,
    context: 96,
    prefillChunk: 8,
    shardSize: 100_000,
  });
  manifestBytes = new Uint8Array(await readFile(join(pristine, "manifest.json")));
  manifest = parseManifest(JSON.parse(new TextDecoder().decode(manifestBytes)));
});

/** Loads a fresh copy of the artefact after `change`, and lets it say a word. */
async function speak(change: () => unknown, options: LoadOptions = {}): Promise<void> {
  await rm(artefact, { recursive: true, force: true });
  await cp(pristine, artefact, { recursive: true });
  await change();
  const model = await load({ base, ...options });
  const { tokens } = await model.createSession().complete([1, 2, 3], { maxTokens: 2, ignoreEos: true });
  expect(tokens.length).toBe(2);
}

test("as it was compiled, it speaks", () => speak(() => null, { verify: true }));

describe("manifest.json", () => {
  const write = (json: unknown) => () => writeFile(join(artefact, "manifest.json"), JSON.stringify(json));

  test("a change to any number or name that belongs to the module or the weights is noticed", async () => {
    const { model, limits, memory, variants, weights, tensors, quantization } = manifest;
    const guarded = { model, limits, memory, variants, weights, tensors: tensors.slice(0, 3), quantization };
    const paths = leaves(guarded);
    expect(paths.length).toBeGreaterThan(60);
    for (const path of paths) {
      for (const replacement of replacements(valueAt(manifest, path))) {
        const error = await refused(() => parseManifest(altered(manifest, path, replacement)));
        expect(error.code, path.join(".")).toBe("artefact/invalid");
      }
    }
  });

  test("sampling defaults and the name may be edited", async () => {
    await speak(write({ ...manifest, name: "other", sampling: { ...manifest.sampling, temperature: 0.5 } }));
  });

  test.each<readonly [string, (m: Manifest) => Partial<Manifest>, RegExp]>([
    ["more pages than there can be", (m) => ({ memory: { ...m.memory, pages: 65537, bytes: 65537 * 65536 } }), /memory\.pages/],
    ["fewer pages than the regions take", (m) => ({ memory: { ...m.memory, pages: 1, bytes: 65536 } }), /memory/],
    [
      "another page count than the module's",
      (m) => ({ memory: { ...m.memory, pages: m.memory.pages + 1, bytes: m.memory.bytes + 65536 } }),
      /memory/,
    ],
    [
      "rows where the weights are",
      (m) => ({ memory: { ...m.memory, rows: { ...m.memory.rows, offset: m.memory.weights.offset } } }),
      /overlaps/,
    ],
    [
      "logits that lead outside",
      (m) => ({ memory: { ...m.memory, logits: { ...m.memory.logits, offset: m.memory.bytes - 4 } } }),
      /logits/,
    ],
    ["slots that lead outside", (m) => ({ limits: { ...m.limits, sessions: 4000 } }), /limits\.sessions/],
    [
      "more slots than there is memory, of no bytes",
      (m) => {
        const state = { ...m.memory.state, slotBytes: 0, rings: [], checkpoints: { offset: 0, bytes: 0, interval: 128 } };
        return { memory: { ...m.memory, state }, limits: { ...m.limits, sessions: 2 ** 40 } };
      },
      /slotBytes/,
    ],
    [
      "variants of one name of 8000 characters",
      (m) => ({ variants: [...m.variants, ...m.variants].map((variant) => ({ ...variant, name: "v".repeat(8000) })) }),
      /name "v+/,
    ],
    ["a longer context", (m) => ({ limits: { ...m.limits, context: 2 ** 31 } }), /checkpoints|checksum/],
    [
      "parts that are longer than their region",
      (m) => ({ weights: m.weights.map((part) => ({ ...part, bytes: part.bytes * 2 })) }),
      /weights/,
    ],
    ["a part above the folder", (m) => ({ weights: m.weights.map((part) => ({ ...part, path: "weights/../../x" })) }), /path/],
    ["a module above the folder", (m) => ({ variants: m.variants.map((one) => ({ ...one, module: "../x.wasm" })) }), /module/],
    ["a tokenizer above the folder", (m) => ({ files: { ...m.files, tokenizer: "../tokenizer.json" } }), /files\.tokenizer/],
    ["a name that moves the cursor", () => ({ name: "\u001b[2J" }), /name/],
    ["a token outside the vocabulary", (m) => ({ tokens: { ...m.tokens, eos: [m.model.vocabSize] } }), /tokens/],
    ["a temperature that is none", (m) => ({ sampling: { ...m.sampling, temperature: -1 } }), /temperature/],
  ])("%s, with a checksum that fits", async (_, change, named) => {
    const changed = { ...manifest, ...change(manifest) };
    const error = await refused(() => speak(write({ ...changed, checksum: manifestChecksum(changed) })));
    expect(error.message).toMatch(named);
  });

  test("a hundred thousand files, the last of them twice, take no longer than reading them", async () => {
    const [source] = manifest.sources;
    const sources = Array.from({ length: 100_000 }, (_, i) => ({ path: `source-${i}.c`, sha256: source?.sha256 ?? "0".repeat(64) }));
    const changed = { ...manifest, sources: [...sources, ...sources.slice(-1)] };
    const start = performance.now();
    const error = await refused(() => parseManifest({ ...changed, checksum: manifestChecksum(changed) }));
    expect(error.message).toContain('"source-99999.c" twice');
    expect(performance.now() - start).toBeLessThan(3000);
  });

  test("any damage is refused properly or does no harm", async () => {
    let refusals = 0;
    await fc.assert(
      fc.asyncProperty(edits(manifestBytes.length), async (changes) => {
        const text = new TextDecoder().decode(damaged(manifestBytes, changes));
        const error = await outcome(() => {
          let json: unknown;
          try {
            json = JSON.parse(text);
          } catch {
            json = null;
          }
          parseManifest(json);
        });
        if (error) refusals++;
      }),
      { numRuns: 500 },
    );
    expect(refusals).toBeGreaterThan(300);
  });

  test.each<readonly [string, (bytes: Uint8Array) => Uint8Array]>([
    ["empty", () => new Uint8Array(0)],
    ["cut short", (bytes) => bytes.subarray(0, -3)],
    ["of bytes that are no text", (bytes) => bytes.map((byte) => byte ^ 0x80)],
    ["nested too deeply", () => new TextEncoder().encode(`${"[".repeat(200_000)}${"]".repeat(200_000)}`)],
  ])("%s", async (_, change) => {
    expect((await refused(() => speak(() => writeFile(join(artefact, "manifest.json"), change(manifestBytes))))).code).toBe(
      "artefact/invalid",
    );
  });
});

describe("files", () => {
  const part = "weights/00001.bin";
  const module = (): string => selectVariant(manifest.variants, detectFeatures(), {}).module;
  const flip = (path: string, at: number) => async (): Promise<void> => {
    const bytes = await readFile(join(artefact, path));
    bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ 0x10;
    await writeFile(join(artefact, path), bytes);
  };

  test.each<readonly [string, () => unknown, string]>([
    ["manifest.json is missing", () => rm(join(artefact, "manifest.json")), "io/missing"],
    ["a part is missing", () => rm(join(artefact, part)), "io/missing"],
    ["a part is a folder", () => folderFor(part), "io/missing"],
    ["a part is empty", () => truncate(join(artefact, part), 0), "artefact/mismatch"],
    ["a part is cut short", () => truncate(join(artefact, part), 99_999), "artefact/mismatch"],
    ["a part is longer", () => truncate(join(artefact, part), 100_001), "artefact/mismatch"],
    ["the module is missing", () => rm(join(artefact, module())), "io/missing"],
    ["the module is a folder", () => folderFor(module()), "io/missing"],
    ["the module is cut short", () => truncate(join(artefact, module()), 1000), "artefact/mismatch"],
    ["the module is longer", () => truncate(join(artefact, module()), 200_000), "artefact/mismatch"],
  ])("%s", async (_, change, code) => {
    expect((await refused(() => speak(change))).code).toBe(code);
  });

  test("parts in another order are noticed by verify", async () => {
    const swap = async (): Promise<void> => {
      await rename(join(artefact, part), join(artefact, "weights/aside"));
      await rename(join(artefact, "weights/00000.bin"), join(artefact, part));
      await rename(join(artefact, "weights/aside"), join(artefact, "weights/00000.bin"));
    };
    expect((await refused(() => speak(swap, { verify: true }))).code).toBe("artefact/mismatch");
  });

  test("any changed byte of a part or the module is noticed by verify", async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(part, module()), fc.nat(), async (path, at) => {
        expect((await refused(() => speak(flip(path, at), { verify: true }))).code).toBe("artefact/mismatch");
      }),
      { numRuns: 15 },
    );
  });

  async function folderFor(path: string): Promise<void> {
    await rm(join(artefact, path));
    await cp(join(pristine, "weights"), join(artefact, path), { recursive: true });
  }
});

describe("a module of another contract", () => {
  const forward = (body: string): string => `(func (export "forward") (param i32 i32) ${body})`;
  const memory = (pages: number): string => `(import "env" "memory" (memory ${pages} ${pages}))`;

  test.each<readonly [string, (pages: number) => string]>([
    ["imports nothing", () => `(module ${forward("")})`],
    ["imports a function beside the memory", (pages) => `(module ${memory(pages)} (import "env" "system" (func)) ${forward("")})`],
    ["imports another thing of that name", () => `(module (import "env" "memory" (func)) ${forward("")})`],
    ["imports more memory", (pages) => `(module ${memory(pages + 1)} ${forward("")})`],
    ["imports less memory", (pages) => `(module ${memory(pages - 1)} ${forward("")})`],
    ["exports nothing", (pages) => `(module ${memory(pages)})`],
    ["exports a number", (pages) => `(module ${memory(pages)} (global (export "forward") i32 (i32.const 1)))`],
    ["traps at its start", (pages) => `(module ${memory(pages)} (func $s unreachable) (start $s) ${forward("")})`],
    ["traps in a call", (pages) => `(module ${memory(pages)} ${forward("unreachable")})`],
    ["reads outside the memory", (pages) => `(module ${memory(pages)} ${forward("(drop (i32.load (i32.const -1)))")})`],
    [
      "never returns from its own depth",
      (pages) => `(module ${memory(pages)} (func $f (export "forward") (param i32 i32) (call $f (i32.const 0) (i32.const 0))))`,
    ],
  ])("%s", async (_, text) => {
    const binary = (await wabtInit()).parseWat("x.wat", text(manifest.memory.pages)).toBinary({}).buffer;
    const module = await WebAssembly.compile(Uint8Array.from(binary));
    const error = await refused(() => speak(() => null, { module }));
    expect(error.code).toBe("artefact/mismatch");
  });
});

type Path = readonly (string | number)[];

/** Every path to a number, a text or a truth value. */
function leaves(value: unknown, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [path];
  const entries: readonly (readonly [string | number, unknown])[] = Array.isArray(value) ? [...value.entries()] : Object.entries(value);
  return entries.flatMap(([key, item]) => leaves(item, [...path, key]));
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce((inner: unknown, key) => (inner as JsonObject)[key], value);
}

/** Other values that a hostile hand might write. */
function replacements(value: unknown): readonly unknown[] {
  if (typeof value === "number")
    return [
      value + 4,
      value + 65536,
      Math.max(0, value - 1) === value ? value + 1 : Math.max(0, value - 1),
      2 ** 40,
      -1,
      String(value),
      null,
    ];
  if (value === null) return ["x", 0, { count: 2, perToken: 1 }];
  if (typeof value === "boolean") return [!value, null];
  return [`${typeof value === "string" ? value : ""}x`, "", 0, null];
}

function altered(value: unknown, [key, ...rest]: Path, replacement: unknown): unknown {
  if (key === undefined) return replacement;
  const copy: unknown = structuredClone(value);
  const inner = copy as Record<string | number, unknown>;
  inner[key] = altered(inner[key], rest, replacement);
  return copy;
}
