/** tokenizer.json and tokenizer_config.json: what a compile checks of them, then texts to ids and back. */
import { join } from "node:path";
import { checkTokenizer, chatTemplateOf, templateWarnings } from "../../../compiler/artefact/model-files.ts";
import { importModel } from "../../../compiler/import/model.ts";
import { createTokenizer } from "../../../runtime/tokenizer.ts";
import { caseMaker, ofText, writeBase } from "../files.ts";
import { smallConfig, smallTokenizer, splitPattern } from "../models.ts";
import { mutateJson } from "../mutate/json.ts";
import type { Random } from "../random.ts";
import type { Target } from "../target.ts";
import { readFile } from "node:fs/promises";

const tokenizerConfig = {
  tokenizer_class: "PreTrainedTokenizerFast",
  bos_token: "<|startoftext|>",
  eos_token: "<|endoftext|>",
  pad_token: "<|pad|>",
  add_bos_token: true,
  clean_up_tokenization_spaces: false,
  model_max_length: 4096,
  additional_special_tokens: ["<|im_start|>"],
  chat_template: "{% for m in messages %}{{ m.content }}{% endfor %}",
};

export const tokenizer: Target = {
  name: "tokenizer",
  share: 3,
  async prepare(base) {
    await writeBase(base, {
      "model/config.json": JSON.stringify(smallConfig),
      "model/tokenizer.json": JSON.stringify(smallTokenizer()),
      "model/tokenizer_config.json": JSON.stringify(tokenizerConfig),
    });
  },
  async open(base) {
    const make = await caseMaker(base, [
      { path: "model/tokenizer.json", weight: 4, mutate: ofText(mutateJson) },
      { path: "model/tokenizer.json", weight: 3, mutate: ofText(generated) },
      { path: "model/tokenizer_config.json", weight: 2, mutate: ofText(mutateJson) },
    ]);
    return {
      make,
      async run() {
        const { store, ...model } = await importModel(join(base, "model"), { randomWeights: 1 });
        await store.close();
        await checkTokenizer(model);
        await chatTemplateOf(model.files);
        await templateWarnings(model.files);
        const read = async (name: string): Promise<unknown> => JSON.parse(await readFile(join(base, "model", name), "utf8"));
        const opened = createTokenizer(await read("tokenizer.json"), await read("tokenizer_config.json"), model.tokens.bos);
        for (const text of texts) opened.decode(opened.encode(text));
        opened.decode([0, 1, 2 ** 31, -1, 300]);
        opened.contentOf(opened.idOf("the") ?? 0);
      },
      model: () => "model",
      close: () => Promise.resolve(),
    };
  },
};

const texts = [
  "",
  "the quick brown",
  `${"a".repeat(200)}!`,
  `${" ".repeat(200)}x`,
  "1".repeat(200),
  "<|im_start|>é👋<|im_end|>\ud800",
  "\r\n".repeat(100),
];

/** A tokenizer whose parts are of other kinds, in other orders, with other patterns. */
function generated(random: Random, text: string): string {
  const whole: unknown = JSON.parse(text);
  if (typeof whole !== "object" || whole === null) return text;
  const part = random.pick(["normalizer", "pre_tokenizer", "post_processor", "added_tokens"] as const);
  const make = { normalizer, pre_tokenizer: preTokenizer, post_processor: postProcessor, added_tokens: addedTokens }[part];
  return JSON.stringify({ ...whole, [part]: make(random, 0) });
}

function normalizer(random: Random, depth: number): unknown {
  const type = random.pick([
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Lowercase",
    "Strip",
    "StripAccents",
    "Prepend",
    "Replace",
    "BertNormalizer",
    "Precompiled",
    "Sequence",
    "?",
  ]);
  const many = random.pick([1, 2, 40]);
  return {
    type,
    prepend: random.pick(["▁", "x".repeat(1000), 7]),
    pattern: pattern(random),
    content: random.pick(["", "aa", "$&$&", "$`$'", "x".repeat(1000)]),
    ...(depth < 3 ? { normalizers: Array.from({ length: many }, () => normalizer(random, depth + 1)) } : {}),
  };
}

function preTokenizer(random: Random, depth: number): unknown {
  const kinds = [
    "Split",
    "Split",
    "Split",
    "ByteLevel",
    "Digits",
    "Punctuation",
    "Whitespace",
    "WhitespaceSplit",
    "Metaspace",
    "Replace",
    "FixedLength",
  ];
  return {
    type: random.pick([...kinds, "BertPreTokenizer", "Sequence", "?"]),
    pattern: pattern(random),
    behavior: random.pick(["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous", "?"]),
    invert: random.chance(1, 3),
    use_regex: random.chance(1, 2),
    add_prefix_space: random.chance(1, 2),
    individual_digits: random.chance(1, 2),
    content: random.pick(["", "aa", "$&$&"]),
    replacement: random.pick(["▁", "", "xx"]),
    length: random.pick([0, -1, 1, 2 ** 31, "3", null]),
    ...(depth < 3 ? { pretokenizers: Array.from({ length: random.pick([1, 2, 2, 40]) }, () => preTokenizer(random, depth + 1)) } : {}),
  };
}

function postProcessor(random: Random): unknown {
  const item = (): unknown =>
    random.pick([
      { SpecialToken: { id: random.pick(["<|startoftext|>", "__proto__", 7]) } },
      { Sequence: { id: random.pick(["A", "B", "C"]) } },
      {},
    ]);
  const type = random.pick(["TemplateProcessing", "ByteLevel", "Sequence", "BertProcessing", "RobertaProcessing", "?"]);
  return {
    type,
    single: Array.from({ length: random.pick([1, 3, 3000]) }, item),
    pair: [],
    processors: [{ type: "ByteLevel" }],
    sep: ["a", 1],
    cls: ["b", 2],
  };
}

function addedTokens(random: Random): unknown {
  const content = (): unknown => random.pick(["", " ", "a", "the", "end", "__proto__", "<|im_end|>", "\ud800", 7, null, "x".repeat(1000)]);
  const id = (): unknown => random.pick([0, 1, 2, 319, 320, -1, 0.5, 2 ** 32, "__proto__", null]);
  const flag = (): boolean => random.chance(1, 2);
  return Array.from({ length: random.few() }, () => ({
    id: id(),
    content: content(),
    lstrip: flag(),
    rstrip: flag(),
    normalized: flag(),
    special: flag(),
  }));
}

function pattern(random: Random): unknown {
  if (random.chance(1, 6)) return { String: random.pick(["", "a", " ", "ab", "$&"]) };
  return random.chance(1, 8) ? random.pick([null, {}, { Regex: 7 }, "a"]) : { Regex: regex(random, 0) };
}

/** A regular expression, often of the kinds that take for ever. */
function regex(random: Random, depth: number): string {
  const inner = (): string => (depth > 3 ? random.pick(atoms) : regex(random, depth + 1));
  return random.one(
    () => random.pick(atoms),
    () => inner() + inner(),
    () => `${inner()}|${inner()}`,
    () => `(${inner()})${random.pick(["*", "+", "?", "{2,}", "{1,3}", "{0,1000}", "+?", "++"])}`,
    () => `(?:${inner()})${random.pick(["*", "+", ""])}$`,
    () => `${random.pick(["(?=", "(?!", "(?<=", "(?<!", "(?i:", "(?<n>", "(?>", "(?#"])}${inner()})`,
    () => splitPattern,
  );
}

const atoms = [
  "a",
  ".",
  "\\s",
  "\\S+",
  "\\p{L}+",
  "\\p{N}{1,3}",
  "[^\\s]",
  "[a-z]*",
  "[[:alpha:]&&[^a]]",
  "\\w*",
  "x?",
  "$",
  "\\1",
  "[",
  ")",
  "\\p{Foo}",
  "",
  "(a+)+$",
  "(a|a)*b",
];
