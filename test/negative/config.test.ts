/** `config.json` and `generation_config.json` that are not what they should be: each is refused by name, and nothing is written. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseConfig } from "../../compiler/import/config.ts";
import { readConversation, readTools } from "../../compiler/import/conversation.ts";
import { importModel } from "../../compiler/import/model.ts";
import { caseFolder } from "../golden/read.ts";
import { damaged, edits, outcome, refused, refusedCompile, valid, workFolder, writeFiles, type JsonObject } from "./support.ts";

const folder = await workFolder();
const { config } = valid;
const moe: JsonObject = JSON.parse(readFileSync(join(caseFolder("moe-tiny"), "config.json"), "utf8")) as JsonObject;

/** Lists inside lists, far deeper than a call stack. */
const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`;
const withText = (key: string, json: string): string => JSON.stringify({ ...config, [key]: "@" }).replace('"@"', json);
const many = (count: number, item: string): string => `[${new Array<string>(count).fill(item).join(",")}]`;

describe("config.json", () => {
  test.each<readonly [string, JsonObject | string | Uint8Array, string]>([
    ["empty", "", "not JSON"],
    ["cut short", JSON.stringify(config).slice(0, -1), "not JSON"],
    ["not UTF-8", Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d), "UTF-8"],
    ["UTF-16", Uint8Array.of(0xff, 0xfe, 0x7b, 0, 0x7d, 0), "UTF-8"],
    ["null", "null", "JSON object"],
    ["a list", "[]", "JSON object"],
    ["a key twice", `{"model_type":"lfm2",${JSON.stringify(config).slice(1)}`, "twice"],
    ["the values on its prototype", `{"__proto__":${JSON.stringify(config)}}`, "model_type is missing"],
    ["a constructor for a type", { ...config, model_type: { constructor: "lfm2" } }, "model_type"],
    ["nested too deeply", deep, "JSON object"],
    ["a key nested too deeply", withText("hidden_size", deep), "hidden_size"],
    ["a type nested too deeply", withText("model_type", deep), "model_type"],
    ["more bytes than are read", `${JSON.stringify(config).slice(0, -1)},"x":"${"x".repeat(2 ** 24)}"}`, "bytes"],
    ["a vocabulary of 1e308", { ...config, vocab_size: 1e308 }, "vocab_size"],
    ["a vocabulary beyond all doubles", withText("vocab_size", "1e999"), "vocab_size"],
    ["2^53 layers", { ...config, num_hidden_layers: 2 ** 53 }, "num_hidden_layers"],
    ["-0.5 heads", { ...config, num_attention_heads: -0.5 }, "num_attention_heads"],
    ["heads as a list", { ...config, num_attention_heads: [4] }, "num_attention_heads"],
    ["no KV heads", { ...config, num_key_value_heads: 0 }, "num_key_value_heads"],
    ["a head of 2^31", { ...config, head_dim: 2 ** 31 }, "head_dim"],
    ["65 taps", { ...config, conv_L_cache: 65 }, "conv_L_cache"],
    ["0 taps", { ...config, conv_L_cache: 0 }, "conv_L_cache"],
    ["an epsilon as text", { ...config, norm_eps: "1e-5" }, "norm_eps"],
    ["a context of 0", { ...config, max_position_embeddings: 0 }, "max_position_embeddings"],
    ["a context of 2^31", { ...config, max_position_embeddings: 2 ** 31 }, "max_position_embeddings"],
    ["an unknown layer type", { ...config, layer_types: ["conv", "mamba", "conv", "conv"] }, "mamba"],
    ["a layer type that is a number", { ...config, layer_types: [1, 2, 3, 4] }, "layer_types"],
    ["a million layer types", withText("layer_types", many(1_000_000, '"conv"')), "layer_types"],
    ["a million layer indices", { ...legacy(), full_attn_idxs: new Array(1_000_000).fill(0) }, "full_attn_idxs"],
    ["a million end tokens", { ...config, eos_token_id: new Array(1_000_000).fill(7) }, "eos_token_id"],
    ["an end token of 2^53", { ...config, eos_token_id: 2 ** 53 }, "eos_token_id"],
    ["another dialect's type", { ...config, model_type: "llama" }, "llama"],
    ["a newer dialect", { ...config, model_type: "lfm3" }, "lfm3"],
    ["a type with escapes", { ...config, model_type: "\u001b[2Jlfm2\u202e" }, "model_type"],
    ["remote code", { ...config, model_type: "lfm2", architectures: ["EvilForCausalLM"] }, "EvilForCausalLM"],
    ["four million experts", { ...moe, num_experts: 4096, num_hidden_layers: 1024, layer_types: new Array(1024).fill("conv") }, "experts"],
    [
      "a feed-forward that vanishes",
      { ...config, block_auto_adjust_ff_dim: true, intermediate_size: 1, block_multiple_of: 1 },
      "feed-forward",
    ],
  ])("%s", async (_, json, named) => {
    const text = typeof json === "string" || json instanceof Uint8Array ? json : JSON.stringify(json);
    const model = await writeFiles(join(folder, "model"), { "config.json": text });
    const error = await refusedCompile(join(folder, "out"), { model, randomWeights: 1 });
    expect(error.code).toMatch(/^config\//);
    expect(error.message).toContain(named);
    expect(error.subject).toContain("config.json");
  });

  test("a folder in its place", async () => {
    const model = await writeFiles(join(folder, "model"), { "config.json/config.json": "{}" });
    expect((await refusedCompile(join(folder, "out"), { model, randomWeights: 1 })).code).toBe("io/unreadable");
  });

  test("a shape that no memory holds is refused before anything is allocated", async () => {
    const json = { ...config, vocab_size: 2 ** 22, hidden_size: 65536, num_attention_heads: 512, num_key_value_heads: 512, head_dim: 128 };
    const model = await writeFiles(join(folder, "model"), { "config.json": JSON.stringify(json) });
    const before = process.memoryUsage.rss();
    expect((await refusedCompile(join(folder, "out"), { model, randomWeights: 1 })).code).toBe("plan/memory");
    expect(process.memoryUsage.rss() - before).toBeLessThan(300e6);
  });

  test("a hundred thousand unknown keys are a few lines of warnings, with nothing in them that a terminal obeys", () => {
    const extra = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`\u001b[31mkey\u0007${i}`, i]));
    const { warnings } = parseConfig({ ...config, ...extra }, "config.json");
    expect(warnings.length).toBeLessThan(12);
    expect(warnings.join("")).not.toMatch(/\p{Cc}/u);
  });
});

describe("generation_config.json", () => {
  test.each<readonly [string, string]>([
    ["not JSON", "{"],
    ["a list", "[]"],
    ["a temperature as text", '{"temperature":"0.3"}'],
    ["a negative temperature", '{"temperature":-1}'],
    ["a top_p above 1", '{"top_p":1.01}'],
    ["a top_k that is no whole number", '{"top_k":1.5}'],
    ["a penalty of 0", '{"repetition_penalty":0}'],
    ["an end token outside the vocabulary", '{"eos_token_id":[7,256]}'],
  ])("%s", async (_, text) => {
    const model = await writeFiles(join(folder, "model"), { "config.json": JSON.stringify(config), "generation_config.json": text });
    const error = await refusedCompile(join(folder, "out"), { model, randomWeights: 1 });
    expect(error.code).toBe("config/invalid");
    expect(error.subject).toContain("generation_config.json");
  });
});

describe("files of conversations and tools", () => {
  const nested = `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`;
  test.each<readonly [string, (path: string) => Promise<unknown>, string, string]>([
    ["tools nested too deeply", readTools, `[{"name":"x","parameters":${nested}}]`, "nested too deeply"],
    [
      "calls nested too deeply",
      readConversation,
      `{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"x","arguments":${nested}}}]}]}`,
      "nested too deeply",
    ],
    ["tools that are no list", readTools, "{}", "a list of functions"],
    ["a role that nobody has", readConversation, '{"messages":[{"role":"wizard"}]}', "messages.0.role"],
  ])("%s", async (_, read, text, fact) => {
    const path = join(await writeFiles(join(folder, "chat"), { "file.json": text }), "file.json");
    const error = await refused(() => read(path));
    expect(error.code).toBe("config/invalid");
    expect(error.message).toContain(fact);
  });

  test("of parameters with a key __proto__, nothing reaches a prototype", async () => {
    const text = '[{"name":"x","parameters":{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}}]';
    await readTools(join(await writeFiles(join(folder, "chat"), { "file.json": text }), "file.json"));
    expect(Object.prototype).not.toHaveProperty("polluted");
  });
});

test("any damage to a config is refused properly or does no harm", async () => {
  const bytes = new TextEncoder().encode(JSON.stringify(config));
  let refusals = 0;
  await fc.assert(
    fc.asyncProperty(edits(bytes.length), async (changes) => {
      const model = await writeFiles(join(folder, "fuzzed"), { "config.json": damaged(bytes, changes) });
      const error = await outcome(async () => {
        await (await importModel(model, { randomWeights: 1 })).store.close();
      });
      if (error) refusals++;
    }),
    { numRuns: 400 },
  );
  expect(refusals).toBeGreaterThan(100);
});

test("any value in any key of a config is refused properly or does no harm", async () => {
  const value = fc.oneof(fc.jsonValue(), fc.constantFrom<unknown>(0, -1, 0.5, 2 ** 31, 2 ** 53, 1e308, "", "conv", [], {}, null, true));
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...Object.keys(config), "__proto__", "full_attn_idxs", "head_dim"),
      value,
      async (key, replacement) => {
        await outcome(() => parseConfig({ ...config, [key]: replacement }, "config.json"));
      },
    ),
    { numRuns: 1000 },
  );
});

function legacy(): JsonObject {
  return Object.fromEntries(Object.entries(config).filter(([key]) => key !== "layer_types"));
}
