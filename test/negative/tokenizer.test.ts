/** Tokenizers whose parts would take for ever, or all memory, over a short text: refused by a compile, before a text meets them. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { slowRegex } from "../../compiler/artefact/tokenizer-parts.ts";
import { createTokenizer } from "../../runtime/tokenizer.ts";
import { smallConfig, smallTokenizer, splitPattern } from "../fuzz/models.ts";
import { refusedCompile, workFolder, writeFiles } from "./support.ts";

const folder = await workFolder();
const split = (regex: string): unknown => ({ type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false });
const sequence = (...pretokenizers: readonly unknown[]): unknown => ({ type: "Sequence", pretokenizers });
const byteLevel = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
const doubling = { type: "Replace", pattern: { String: "a" }, content: "aa" };

describe("tokenizer.json", () => {
  test.each<readonly [string, Readonly<Record<string, unknown>>, RegExp]>([
    ["a regular expression with many ways to match", { pre_tokenizer: split("(a+)+$") }, /"\(a\+\)\+\$"\}, which repeats a group/],
    ["one deep inside", { pre_tokenizer: sequence(sequence(byteLevel, split("(?:a|a)*b"))) }, /repeats a group/],
    [
      "a text that doubles forty times",
      { normalizer: { type: "Sequence", normalizers: new Array(40).fill(doubling) } },
      /more than 8 parts/,
    ],
    ["a text that doubles at all", { normalizer: doubling }, /its normalizer has a part of type "Replace"/],
    ["steps of no length", { pre_tokenizer: { type: "FixedLength", length: 0 } }, /its pre_tokenizer has a part of type "FixedLength"/],
    ["bytes of bytes of bytes", { pre_tokenizer: sequence(...new Array<unknown>(9).fill(byteLevel)) }, /more than 8 parts/],
    ["a pattern of no kind", { pre_tokenizer: { type: "Split", pattern: {} } }, /is no pattern/],
    ["a part of no type", { pre_tokenizer: {} }, /type absent/],
  ])("%s", async (_, change, fact) => {
    const tokenizer = JSON.stringify({ ...smallTokenizer(), ...change });
    const model = await writeFiles(join(folder, "model"), { "config.json": JSON.stringify(smallConfig), "tokenizer.json": tokenizer });
    const start = performance.now();
    const error = await refusedCompile(join(folder, "out"), { model, randomWeights: 1 });
    expect(error.code).toBe("config/unsupported");
    expect(error.message).toMatch(fact);
    expect(performance.now() - start).toBeLessThan(5000);
  });

  test("a kind that nests too deeply to be shown", async () => {
    const deep = `${"[".repeat(20_000)}${"]".repeat(20_000)}`;
    const tokenizer = JSON.stringify({ ...smallTokenizer(), decoder: { type: "@" } }).replace('"@"', deep);
    const model = await writeFiles(join(folder, "model"), { "config.json": JSON.stringify(smallConfig), "tokenizer.json": tokenizer });
    expect((await refusedCompile(join(folder, "out"), { model, randomWeights: 1 })).message).toMatch(/decoder is of no type/);
  });
});

test("tokens that look like bytes are text: no number in them is read", () => {
  const odd = ["<0x-1>", "<0x41>", "<0x100>", "<0xFFFFFFFF>"];
  const whole = smallTokenizer();
  const model = { type: "BPE", byte_fallback: true, vocab: Object.fromEntries(odd.map((token, id) => [token, id])), merges: [] };
  const tokenizer = createTokenizer({ ...whole, added_tokens: [], model }, {}, null);
  expect(odd.map((_, id) => tokenizer.decode([id]))).toEqual(odd);
  expect(tokenizer.encode("A<0x-1>")).toEqual([1]);
});

describe("regular expressions", () => {
  const gpt4o =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" +
    "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  test.each([
    splitPattern,
    gpt4o,
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    "(?i)a|(?#comment (a+)*b",
    "\\(+\\)+",
    "[]()*]",
    "[[a-z]&&[^(b)*]]",
    "(ab){1}",
    "a{2}b{0,64}",
    "",
  ])("of releases and their like are let through: %s", (source) => {
    expect(slowRegex(source)).toBeNull();
  });

  test.each([
    ["(a+)+", "repeats a group"],
    ["(?:a|b)*", "repeats a group"],
    ["(?<name>a){2,}", "repeats a group"],
    ["((a?)){3}", "repeats a group"],
    ["(a)+?", "repeats a group"],
    ["a*b*c*d*", "in a row"],
    ["(a*|b*b*)c*d*", "in a row"],
    ["x|a*(?=b*c{1,100}d*)", "in a row"],
    ["a)b", "not open"],
    ["a".repeat(5000), "characters"],
  ])("%s is refused", (source, fact) => {
    expect(slowRegex(source)).toContain(fact);
  });
});
