/** The parts of the GGUF reader: names, types, stores, split files, tokenizers. What it refuses is in test/negative/gguf.test.ts. */
import { open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { chatTemplateOf } from "../../compiler/artefact/model-files.ts";
import { importModel } from "../../compiler/import/model.ts";
import { readHeader } from "../../compiler/import/gguf/header.ts";
import { checkpointNamesOf, ggufPlaceOf } from "../../compiler/import/gguf/tensor-names.ts";
import { parseConfig } from "../../compiler/import/config.ts";
import { readModelJson } from "../../compiler/import/model-file.ts";
import { expectedTensors } from "../../compiler/import/tensor-names.ts";
import { groupFormats } from "../../compiler/numeric/weight-groups.ts";
import { createTokenizer } from "../../runtime/tokenizer.ts";
import { goldenJson, temporaryFolder } from "./support.ts";
import { bool, f32, ggufFile, i32s, modelMetadata, oneLayerModel, text, texts, u32, type Value } from "./gguf-support.ts";

async function opened(path: string) {
  const model = await importModel(path);
  onTestFinished(() => model.store.close());
  return model;
}

test.each(["LFM2-350M", "LFM2-8B-A1B", "LFM2.5-2.6B"])("%s: every tensor has a name in GGUF, and the same one back", async (name) => {
  const { config } = parseConfig(await goldenJson("shapes", name, "config.json"), name);
  const places = new Map<string, Set<number | null>>();
  for (const tensor of expectedTensors(config, "separate")) {
    const place = ggufPlaceOf(tensor.name);
    if (!place) throw new Error(`${tensor.name} has no place`);
    expect(checkpointNamesOf(place.name, 32)[place.expert ?? 0]).toBe(tensor.name);
    places.set(place.name, (places.get(place.name) ?? new Set()).add(place.expert));
  }
  expect(places.get("token_embd_norm.weight")).toEqual(new Set([null]));
  for (const experts of places.values()) expect([1, config.moe?.expertCount]).toContain(experts.size);
  expect(checkpointNamesOf("blk.0.attn_gate.weight", 1)).toEqual([]);
  expect(checkpointNamesOf("blk.01.attn_norm.weight", 1)).toEqual([]);
  expect(ggufPlaceOf("model.layers.0.conv.conv")).toBeNull();
});

async function written(name: string, file: Uint8Array): Promise<string> {
  const path = join(await temporaryFolder(), name);
  await writeFile(path, file);
  return path;
}

const gate = "model.layers.0.feed_forward.w1.weight";

/**
 * Blocks of random bytes, the last with a negative subnormal scale, and what gguf-py 0.19 (gguf.quants.dequantize) makes of them; written by
 * numpy's generator with seed 11.
 */
const fixtures = JSON.parse(await readFile(new URL("data/gguf-blocks.json", import.meta.url), "utf8")) as Readonly<
  Record<string, { readonly bytes: string; readonly values: string }>
>;

describe.each(Object.entries(fixtures))("%s", (type, { bytes, values }) => {
  const blocks = new Uint8Array(Buffer.from(bytes, "base64"));
  const expected = new Float32Array(new Uint8Array(Buffer.from(values, "base64")).buffer);
  const rows = Math.ceil(expected.length / 256);

  test("is dequantised as gguf-py does it", async () => {
    const { store } = await opened(await written("model.gguf", ggufFile(oneLayerModel(type, blocks))));
    const found = await store.readRows(gate, 0, rows);
    expect(new Uint32Array(found.buffer, 0, expected.length)).toEqual(new Uint32Array(expected.buffer));
  });

  test("in groups of the format that keeps it: the same numbers, or rounded", async () => {
    const { store } = await opened(await written("model.gguf", ggufFile(oneLayerModel(type, blocks))));
    const keep = store.tensors.get(gate)?.keep;
    if (keep !== "q4_0" && keep !== "q4_1" && keep !== "q8_0") throw new Error(`kept in ${keep}`);
    const format = groupFormats[keep];
    const groups = await store.readGroups(gate, format, 0, rows);
    const isExact = ["Q4_0", "Q4_1", "Q5_0", "Q8_0", "Q4_K"].includes(type);
    let largest = 0;
    expected.forEach((value, i) => {
      const g = i >> 5;
      const scaled = Math.fround((groups.scales[g] ?? NaN) * ((groups.u[i] ?? NaN) - format.offset));
      const found = groups.minimums ? Math.fround(scaled + (groups.minimums[g] ?? NaN)) : scaled;
      largest = Math.max(largest, Math.abs(found - value) / Math.abs(groups.scales[g] ?? NaN));
    });
    if (isExact) expect(largest).toBe(0);
    else expect(largest).toBeLessThanOrEqual(0.501);
  });
});

test("a group whose scale is zero holds nothing but zeros, whatever its bits", async () => {
  const block = new Uint8Array(18).fill(0xff);
  block.fill(0, 0, 2);
  const { store } = await opened(await written("model.gguf", ggufFile(oneLayerModel("Q4_0", block))));
  const { u, scales } = await store.readGroups(gate, groupFormats.q4_0, 0, 1);
  expect([scales[0], ...u.subarray(0, 32)]).toEqual([0, ...new Array<number>(32).fill(8)]);
});

test("another format than the file's is rounded from the values", async () => {
  const { store } = await opened(await written("model.gguf", ggufFile(oneLayerModel("Q8_0", new Uint8Array(34).fill(0x3c)))));
  const [own, other] = [await store.readGroups(gate, groupFormats.q8_0, 0, 2), await store.readGroups(gate, groupFormats.q4_0, 0, 2)];
  expect(own.u[0]).toBe(128 + 0x3c);
  expect(other.u[0]).toBe(0);
});

describe("split files", () => {
  /** The model's tensors in two files, which say this of themselves. */
  async function split(change: (part: number) => readonly (readonly [string, Value])[], named = "00002"): Promise<readonly string[]> {
    const folder = await temporaryFolder();
    const { tensors, data } = oneLayerModel("Q4_0", new Uint8Array(18));
    const cut = tensors[5]?.offset ?? 0;
    const files = [
      { metadata: [...modelMetadata, ...change(0)], tensors: tensors.slice(0, 5), data: data.subarray(0, Number(cut)) },
      {
        metadata: change(1),
        tensors: tensors.slice(5).map((tensor) => ({ ...tensor, offset: Number(tensor.offset) - Number(cut) })),
        data: data.subarray(Number(cut)),
      },
    ];
    const paths = files.map((_, index) => join(folder, `split-0000${index + 1}-of-${named}.gguf`));
    for (const [index, file] of files.entries()) await writeFile(paths[index] ?? "", ggufFile(file));
    return paths;
  }
  const honest = (part: number): readonly (readonly [string, Value])[] => [
    ["split.no", { type: "u16", value: part }],
    ["split.count", { type: "u16", value: 2 }],
    ["split.tensors.count", { type: "i32", value: 13 }],
  ];

  test("any of them stands for all", async () => {
    for (const path of await split(honest)) {
      const model = await opened(path);
      expect(model.name).toBe("split");
      expect(model.store.tensors.size).toBe(13);
      expect(await model.store.readRows(gate, 255, 1)).toHaveLength(256);
    }
  });

  test.each<readonly [string, (part: number) => readonly (readonly [string, Value])[], string]>([
    ["the wrong order", (part) => honest(1 - part), "split.no is 1; by the names of the files it is 0"],
    ["another count", (part) => honest(part).with(1, ["split.count", u32(3)]), "split.count is 3"],
    ["another number of tensors", (part) => honest(part).with(2, ["split.tensors.count", u32(14)]), "split.tensors.count is 14"],
    ["nothing", () => [], "split.no is absent"],
  ])("that say %s are refused", async (_, change, fact) => {
    const [first = ""] = await split(change);
    await expect(importModel(first)).rejects.toMatchObject({ code: "gguf/metadata", message: expect.stringContaining(fact) as string });
  });

  test("one that is missing is named", async () => {
    const [first = ""] = await split(honest, "00003");
    await expect(importModel(first)).rejects.toMatchObject({
      code: "io/missing",
      subject: expect.stringContaining("split-00003-of-00003.gguf") as string,
    });
  });
});

/** The demo model's tokenizer as GGUF metadata. */
async function demoVocabulary(): Promise<readonly (readonly [string, Value])[]> {
  const json = JSON.parse(await readFile(new URL("tokenizer.json", demo), "utf8")) as {
    readonly model: { readonly vocab: Readonly<Record<string, number>>; readonly merges: readonly (readonly string[])[] };
    readonly added_tokens: readonly { readonly id: number; readonly content: string }[];
  };
  const tokens = new Map([
    ...Object.entries(json.model.vocab).map(([content, id]) => [id, content] as const),
    ...json.added_tokens.map(({ id, content }) => [id, content] as const),
  ]);
  const special = new Set(json.added_tokens.map(({ id }) => id));
  const ids = Array.from({ length: tokens.size }, (_, id) => id);
  return [
    ["tokenizer.ggml.model", text("gpt2")],
    ["tokenizer.ggml.pre", text("lfm2")],
    ["tokenizer.ggml.tokens", texts(ids.map((id) => tokens.get(id) ?? ""))],
    ["tokenizer.ggml.token_type", i32s(ids.map((id) => (special.has(id) ? 3 : 1)))],
    ["tokenizer.ggml.merges", texts(json.model.merges.map((pair) => pair.join(" ")))],
    ["tokenizer.ggml.bos_token_id", u32(1)],
    ["tokenizer.ggml.eos_token_id", u32(2)],
    ["tokenizer.ggml.add_bos_token", bool(true)],
    ["tokenizer.chat_template", text("{{ messages[0].content }}")],
  ];
}

const demo = new URL("../../examples/demo-model/", import.meta.url);
const json = async (name: string): Promise<unknown> => JSON.parse(await readFile(new URL(name, demo), "utf8"));

test("the tokenizer gives the same ids as the one it was made of, on the novels", async () => {
  const model = await opened(await written("demo.gguf", ggufFile(oneLayerModel("Q4_0", new Uint8Array(18), await demoVocabulary(), 4096))));
  const { tokenizer, tokenizerConfig } = model.files;
  if (!tokenizer || !tokenizerConfig) throw new Error("no tokenizer");
  const found = createTokenizer(await readModelJson(tokenizer), await readModelJson(tokenizerConfig), 1);
  const expected = createTokenizer(await json("tokenizer.json"), await json("tokenizer_config.json"), 1);
  for (const novel of ["emma", "mansfieldpark", "northangerabbey", "persuasion", "prideprejudice", "sensesensibility"]) {
    const prose = (await readFile(new URL(`text/${novel}.txt`, demo), "utf8")).slice(0, 50_000);
    const ids = found.encode(prose);
    expect(ids.length).toBeGreaterThan(10_000);
    expect(ids).toEqual(expected.encode(prose));
  }
  const odd = "<|im_start|>user\r\n\r\n  It's 12345 ¿Qué? 你好 👋🏽\u00a0<|im_end|>don't \t x  ";
  expect(found.encode(odd)).toEqual(expected.encode(odd));
  expect(await chatTemplateOf(model.files)).toBe("{{ messages[0].content }}");
  expect(found.decode(found.encode("Zoë"))).toBe("Zoë");
});

test("control, user-defined and unused tokens, and a word that is a token though no merge makes it", async () => {
  const contents = ["<end>", "<tool>", "[PAD2]", "abc", "ab", ...Array.from("abcdefghijk")];
  const vocabulary: readonly (readonly [string, Value])[] = [
    ["tokenizer.ggml.model", text("gpt2")],
    ["tokenizer.ggml.pre", text("lfm2")],
    ["tokenizer.ggml.tokens", texts(contents)],
    ["tokenizer.ggml.token_type", i32s(contents.map((_, id) => [3, 4, 5][id] ?? 1))],
    ["tokenizer.ggml.merges", texts(["a b"])],
    ["tokenizer.ggml.add_bos_token", bool(false)],
  ];
  const { files } = await opened(await written("words.gguf", ggufFile(oneLayerModel("Q4_0", new Uint8Array(18), vocabulary))));
  if (!files.tokenizer || !files.tokenizerConfig) throw new Error("no tokenizer");
  const tokenizer = createTokenizer(await readModelJson(files.tokenizer), await readModelJson(files.tokenizerConfig), 0);
  expect(tokenizer.encode("abc<end>abd<tool>c")).toEqual([3, 0, 4, 8, 1, 7]);
  expect(tokenizer.decode([3, 0, 1])).toBe("abc<tool>");
  expect(tokenizer.idOf("[PAD2]")).toBeUndefined();
});

test("several chat templates: the default one, and the one for tools", async () => {
  const more: readonly (readonly [string, Value])[] = [
    ["tokenizer.chat_templates", texts(["tool_use", "rag"])],
    ["tokenizer.chat_template.tool_use", text("tools")],
    ["tokenizer.chat_template.rag", text("documents")],
  ];
  const vocabulary = [...(await demoVocabulary()), ...more];
  const { files } = await opened(await written("demo.gguf", ggufFile(oneLayerModel("Q4_0", new Uint8Array(18), vocabulary, 4096))));
  const template = await chatTemplateOf(files);
  expect(template).toContain("{{ messages[0].content }}");
  expect(template).toContain("tools");
  expect(template).not.toContain("documents");
});

test("metadata: special tokens, sampling, and numbers as they were written", async () => {
  const more: readonly (readonly [string, Value])[] = [
    ["tokenizer.ggml.eot_token_id", u32(7)],
    ["general.sampling.temp", f32(0.3)],
    ["general.sampling.min_p", f32(0.15)],
    ["general.sampling.penalty_repeat", f32(1.05)],
    ["lfm2.unheard_of", u32(1)],
  ];
  const vocabulary = [...(await demoVocabulary()), ...more];
  const model = await opened(await written("Demo Model.gguf", ggufFile(oneLayerModel("Q4_0", new Uint8Array(18), vocabulary, 4096))));
  expect(model.name).toBe("Demo-Model");
  expect(model.tokens).toEqual({ bos: 1, eos: [2, 7], pad: null });
  expect(model.sampling).toEqual({ temperature: 0.3, topK: 0, topP: 1, minP: 0.15, repetitionPenalty: 1.05 });
  expect(model.config).toMatchObject({ normEpsilon: 1e-5, ropeBase: 1e6, tied: true, layers: ["attention"], maxPositions: 64 });
  expect(model.warnings).toEqual(['GGUF metadata: unknown key "lfm2.unheard_of" is ignored']);
});

test("a last string that lies across the end of the parser's first 2,000,000 bytes is whole", async () => {
  const last = "straddling-".repeat(8);
  const withLengths = (...lengths: readonly number[]): Uint8Array => {
    const strings = texts([...lengths.map((length) => "x".repeat(length)), last]);
    return ggufFile({ ...oneLayerModel("Q4_0", new Uint8Array(18)), metadata: [["strings", strings], ...modelMetadata] });
  };
  const long = new Array<number>(4).fill(399_990);
  const missing = 2_000_000 - 40 - Buffer.from(withLengths(...long, 0)).indexOf(last);
  const file = withLengths(...long, missing - 10, 2);
  const at = Buffer.from(file).indexOf(last);
  expect([at < 2_000_000, at + last.length > 2_000_000]).toEqual([true, true]);
  const path = await written("model.gguf", file);
  const handle = await open(path, "r");
  onTestFinished(() => handle.close());
  const header = await readHeader({ path, handle }, file.length);
  const strings = header.metadata.get("strings")?.value;
  expect(Array.isArray(strings) ? strings.at(-1) : null).toBe(last);
  expect(header.metadata.size).toBe(modelMetadata.length + 1);
});
