import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LfmcError } from "../../runtime/errors.ts";
import type { Manifest } from "../../runtime/manifest.ts";
import { parseManifest } from "../../runtime/manifest-parse.ts";
import { fakeManifest, refusal, sealed } from "./support.ts";

type Path = readonly (string | number)[];

/** A deep copy of `value` with the field at `path` replaced, or left out where `replacement` is undefined. */
function altered(value: unknown, [key, ...rest]: Path, replacement: unknown): unknown {
  if (key === undefined) return replacement;
  if (Array.isArray(value)) return value.map((item: unknown, i) => (i === key ? altered(item, rest, replacement) : item));
  if (typeof value !== "object" || value === null) throw new Error(`no ${key}`);
  const changed = altered(Object.getOwnPropertyDescriptor(value, key)?.value, rest, replacement);
  return Object.fromEntries([
    ...Object.entries(value).filter(([name]) => name !== key),
    ...(changed === undefined ? [] : [[key, changed]]),
  ]);
}

/** Every path to a field. */
function paths(value: unknown, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [path];
  const entries = Array.isArray(value) ? [...value.entries()] : Object.entries(value);
  return [...(path.length > 0 ? [path] : []), ...entries.flatMap(([key, item]) => paths(item, [...path, key]))];
}

const tensor = { name: "embed", sources: ["model.embed_tokens.weight"], encoding: "q4_0", shape: [32, 4], offset: 0, bytes: 64 };
const whole = sealed({ ...fakeManifest({ eos: [2] }), tensors: [tensor] });

/** Of a library: its weights lie in a space of their own, where the module's have one with everything else. */
const library = sealed({
  ...whole,
  target: "c",
  memory: { ...whole.memory, pages: 0, bytes: whole.memory.scratch.offset + 128, threadBytes: 100, weights: { offset: 0, bytes: 128 } },
  sources: [{ path: "fake.c", sha256: "0".repeat(64) }],
  weights: [{ path: "weights.bin", bytes: 128, sha256: "0".repeat(64), pieces: ["0".repeat(64)] }],
});

test("a library's manifest comes through as it is", () => {
  expect(parseManifest(JSON.parse(JSON.stringify(library)))).toEqual(library);
});

/** Of a module with 64-bit addresses: `pages` of memory, most of them behind the regions. */
function wide(pages: number, features: readonly (readonly string[])[] = [["simd128", "memory64"]]): Manifest {
  const [variant] = whole.variants;
  if (!variant) throw new Error("no variant");
  const variants = features.map((each, i) => ({ ...variant, name: `v${i}`, module: `v${i}.wasm`, features: each }));
  return sealed({ ...whole, memory: { ...whole.memory, pages, bytes: pages * 65536 }, variants });
}

describe("a memory of more than 4 GiB", () => {
  test.each([3, 65536, 65537, 262144])("comes through with memory64: %i pages", (pages) => {
    expect(parseManifest(wide(pages)).memory.pages).toBe(pages);
  });

  test.each<readonly [string, Manifest, string]>([
    ["without memory64", wide(65537, [["simd128"]]), "memory.pages is above 65536, the most that a 32-bit memory has"],
    ["where one variant lacks memory64", wide(65537, [["memory64"], ["simd128"]]), "memory.pages is above 65536"],
    ["above 16 GiB", wide(262145), "memory.pages is above 262144, the most that a 64-bit memory has"],
  ])("is refused %s", async (_, manifest, fact) => {
    const { code, message } = await refusal(() => parseManifest(manifest));
    expect(code).toBe("artefact/invalid");
    expect(message).toContain(fact);
  });
});

test("a manifest comes through as it is, unknown keys left out", () => {
  expect(parseManifest(JSON.parse(JSON.stringify({ ...whole, extra: 1 })))).toEqual(whole);
});

test("a module's manifest may name no weights: they are inside", () => {
  const embedded = sealed({ ...whole, weights: [] });
  expect(parseManifest(JSON.parse(JSON.stringify(embedded)))).toEqual(embedded);
});

describe("is refused, naming the field", () => {
  const { memory } = whole;
  const cases: readonly (readonly [Path, unknown, string])[] = [
    [["format"], "other", "format"],
    [["version"], 1, "version is 1, this runtime reads 2"],
    [["target"], "c-mips", "target"],
    [["target"], "c", "memory.pages is not 0"],
    [["model", "hash"], "AB".repeat(32), "model.hash"],
    [["model", "vocabSize"], 0, "model.vocabSize"],
    [["limits", "context"], -1, "limits.context"],
    [["limits", "context"], 1.5, "limits.context"],
    [["limits", "rewind"], 2 ** 53, "limits.rewind"],
    [["memory", "bytes"], memory.bytes + 1, "memory.bytes"],
    [["memory", "pages"], 65537, "memory.pages"],
    [["memory", "weights", "offset"], 2, "memory.weights.offset"],
    [["memory", "scratch", "bytes"], memory.bytes, "memory.scratch"],
    [["memory", "scratch", "offset"], memory.state.offset, "overlaps"],
    [["memory", "state", "offset"], memory.weights.offset + 4, "overlaps"],
    [["memory", "state", "slotBytes"], memory.state.slotBytes + 4, "memory.state"],
    [["memory", "state", "rings", 0, "rows"], 5, "memory.state.rings[0]"],
    [["memory", "state", "rings", 0, "reads"], 3, "memory.state.rings[0]"],
    [["memory", "state", "rings", 0, "offset"], memory.state.slotBytes, "memory.state.rings[0] leads outside a slot"],
    [["memory", "state", "rings", 0, "rowBytes"], 8, "checkpoints does not hold 3"],
    [["memory", "state", "checkpoints", "interval"], 0, "memory.state.checkpoints.interval"],
    [["memory", "state", "checkpoints", "interval"], 1, "memory.state.checkpoints does not hold 23"],
    [["memory", "state", "checkpoints", "bytes"], 28, "memory.state.checkpoints leads outside a slot"],
    [["memory", "rows", "bytes"], 64, "memory.rows"],
    [["memory", "logits", "strideBytes"], 64, "memory.logits.strideBytes"],
    [["memory", "logits", "bytes"], 128, "memory.logits"],
    [["limits", "logitRows"], 4, "memory.logits"],
    [["memory", "choices", "bytes"], 8, "memory.choices does not hold limits.logitRows choices"],
    [["memory", "choices", "offset"], memory.logits.offset, "overlaps"],
    [["weights", 0, "bytes"], 63, "weights have 63 bytes"],
    [["weights", 0, "path"], "../weights-0.bin", "weights[0].path"],
    [["weights", 0, "path"], "weights/../x", "weights[0].path"],
    [["weights", 0, "path"], "/etc/passwd", "weights[0].path"],
    [["weights", 0, "path"], "https://host/w", "weights[0].path"],
    [["weights", 0, "path"], "..", "weights[0].path"],
    [["weights", 0, "sha256"], "0".repeat(63), "weights[0].sha256"],
    [["weights", 0, "pieces"], ["AB".repeat(32)], "weights[0].pieces is not a list of sha256"],
    [["weights", 0, "pieces"], [], "weights[0].pieces has 0 hashes, 64 bytes have 1"],
    [["variants"], [], "variants"],
    [["variants"], [whole.variants[0], whole.variants[0]], "twice"],
    [["variants", 0, "module"], "a/b.wasm", "variants[0].module"],
    [["variants", 0, "features"], [1], "variants[0].features"],
    [["variants", 0, "threads"], 0, "variants[0].threads"],
    [["tensors", 0, "offset"], 1, "tensors[0].offset"],
    [["tokens", "eos"], [32], "tokens"],
    [["tokens", "bos"], 32, "tokens"],
    [["sampling", "topP"], "1", "sampling.topP"],
    [["files", "tokenizer"], "x/../y", "files.tokenizer"],
    [["quantization", "kv"], "q3", "quantization.kv"],
  ];
  test.each(cases)("%j = %j", async (path, value, named) => {
    const { code, message } = await refusal(() => parseManifest(altered(whole, path, value)));
    expect(code).toBe("artefact/invalid");
    expect(message).toContain(named);
  });

  const { memory: space } = library;
  const libraryCases: readonly (readonly [Path, unknown, string])[] = [
    [["name"], "../../etc/x", "name"],
    [["name"], "a b", "name"],
    [["target"], "wasm-simd", "memory.bytes"],
    [["memory", "pages"], 1, "memory.pages"],
    [["memory", "threadBytes"], -1, "memory.threadBytes"],
    [["memory", "weights", "offset"], 64, "memory.weights.offset"],
    [["memory", "weights", "bytes"], 64, "weights have 128 bytes"],
    [["memory", "state", "offset"], space.rows.offset, "overlaps"],
    [["memory", "bytes"], space.scratch.offset, "memory.scratch"],
    [["weights"], [library.weights[0], { ...library.weights[0], path: "more.bin" }], "weights"],
    [["weights"], [], "weights are not one file"],
    [["sources"], [], "sources"],
    [["sources", 0, "path"], "../x.c", "sources[0].path"],
    [["sources", 0, "path"], "weights.bin", "twice"],
    [["sources", 0, "sha256"], "", "sources[0].sha256"],
  ];
  test.each(libraryCases)("of a library, %j = %j", async (path, value, named) => {
    const { code, message } = await refusal(() => parseManifest(altered(library, path, value)));
    expect(code).toBe("artefact/invalid");
    expect(message).toContain(named);
  });

  test.each([null, [], "{}", 7, undefined])("%j", async (json) => {
    expect((await refusal(() => parseManifest(json))).code).toBe("artefact/invalid");
  });
});

test("every field is needed", async () => {
  for (const manifest of [whole, library])
    for (const path of paths(manifest).filter((path) => typeof path.at(-1) === "string")) {
      const { code } = await refusal(() => parseManifest(altered(manifest, path, undefined)));
      expect(code, path.join(".")).toBe("artefact/invalid");
    }
});

test("any field of any other kind is either fine or an LfmcError, never another error", () => {
  fc.assert(
    fc.property(fc.constantFrom(...paths(whole)), fc.jsonValue(), (path, value) => {
      try {
        parseManifest(altered(whole, path, value));
      } catch (error) {
        expect(error).toBeInstanceOf(LfmcError);
      }
    }),
    { numRuns: 500 },
  );
});
