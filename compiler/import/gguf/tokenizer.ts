/**
 * The tokenizer in GGUF metadata -> the objects of `tokenizer.json` and `tokenizer_config.json`: byte-level BPE with LFM2's way to cut text
 * into words, which is Llama 3's. llama.cpp takes a whole word that is a token as it is, so merges are ignored for it here too.
 */
import { shown } from "../schema-error.ts";
import type { MetadataReader } from "./metadata.ts";

type JsonObject = Readonly<Record<string, unknown>>;

export interface GgufTokenizer {
  /** As `tokenizer.json`. */
  readonly tokenizer: JsonObject;
  /** As `tokenizer_config.json`, with the chat templates. */
  readonly config: JsonObject;
}

/** What a token is, by the format's number. */
const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5 } as const;

/** How text is cut into words before BPE, by the value of `tokenizer.ggml.pre`. */
export const wordPatterns: ReadonlyMap<string, string> = new Map([
  [
    "lfm2",
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  ],
]);

/**
 * Reads the tokenizer of a model with `vocabSize` tokens. Where the file has one of another kind, or none, the warning says so and the
 * model is used by token ids alone. Throws gguf/metadata where it contradicts itself.
 */
export function tokenizerOf(
  metadata: MetadataReader,
  vocabSize: number,
): { readonly found: GgufTokenizer | null; readonly warnings: readonly string[] } {
  const model = metadata.text("tokenizer.ggml.model");
  const pre = metadata.text("tokenizer.ggml.pre");
  const pattern = wordPatterns.get(pre ?? "");
  const none = (fact: string) => ({ found: null, warnings: [`GGUF metadata: ${fact}; the model takes and gives token ids alone`] });
  if (model === null) return none("has no tokenizer");
  if (model !== "gpt2") return none(`tokenizer.ggml.model is ${shown(model)}, lfmc reads "gpt2"`);
  if (pattern === undefined)
    return none(`tokenizer.ggml.pre is ${shown(pre)}, lfmc reads ${[...wordPatterns.keys()].map(shown).join(", ")}`);
  const { tokens, types } = vocabularyOf(metadata, vocabSize);
  const lines = metadata.texts("tokenizer.ggml.merges");
  if (lines === null) return none("tokenizer.ggml.merges is missing");
  const isAdded = (id: number): boolean => (types[id] ?? tokenTypes.normal) !== tokenTypes.normal;
  const isUsed = (id: number): boolean => types[id] !== tokenTypes.unused;
  const entries = tokens.map((content, id) => [content, id] as const).filter(([, id]) => isUsed(id));
  const vocabulary = new Map(entries.filter(([, id]) => !isAdded(id)));
  const added = entries
    .filter(([, id]) => isAdded(id))
    .map(([content, id]) => ({
      ...{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false },
      special: types[id] !== tokenTypes.userDefined,
    }));
  const tokenizer = {
    ...{ version: "1.0", truncation: null, padding: null, added_tokens: added, normalizer: null },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      ...{ type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null },
      ...{ fuse_unk: false, byte_fallback: false, ignore_merges: true },
      vocab: Object.fromEntries(vocabulary),
      merges: lines.map((line, index) => mergeOf(line, index, vocabulary, metadata)),
    },
  };
  return { found: { tokenizer, config: tokenizerConfig(metadata, tokens) }, warnings: [] };
}

/** The tokens by id and their types, which must be as many as the model has and all different. */
function vocabularyOf(
  metadata: MetadataReader,
  vocabSize: number,
): { readonly tokens: readonly string[]; readonly types: readonly number[] } {
  const tokens = metadata.need("tokenizer.ggml.tokens", metadata.texts("tokenizer.ggml.tokens"));
  const types = metadata.wholes("tokenizer.ggml.token_type") ?? new Array<number>(tokens.length).fill(tokenTypes.normal);
  const lengths = { tokens: tokens.length, token_type: types.length, scores: metadata.reals("tokenizer.ggml.scores")?.length ?? vocabSize };
  for (const [key, length] of Object.entries(lengths)) {
    if (length !== vocabSize) metadata.bad(`tokenizer.ggml.${key} has ${length} items; the model has ${vocabSize} tokens`);
  }
  const ids = new Map<string, number>();
  tokens.forEach((content, id) => {
    if (content === "") metadata.bad(`tokenizer.ggml.tokens[${id}] is empty`);
    const other = ids.get(content);
    if (other !== undefined) metadata.bad(`tokenizer.ggml.tokens[${id}] is ${shown(content)}, and so is that of ${other}`);
    ids.set(content, id);
  });
  const known: readonly number[] = Object.values(tokenTypes);
  const wrong = types.findIndex((type) => !known.includes(type));
  // Type 6 is a byte written as <0x0A>, which byte-level vocabularies do not have.
  if (wrong >= 0) metadata.bad(`tokenizer.ggml.token_type[${wrong}] is ${types[wrong]}; expected 1 to 5`);
  return { tokens, types };
}

/** A merge: two tokens with a space between, whose join is a token. */
function mergeOf(
  line: string,
  index: number,
  vocabulary: ReadonlyMap<string, number>,
  metadata: MetadataReader,
): readonly [string, string] {
  const [left, right, ...more] = line.split(" ");
  const isWhole = left !== undefined && right !== undefined && more.length === 0;
  if (isWhole && [left, right, left + right].every((token) => vocabulary.has(token))) return [left, right];
  return metadata.bad(`tokenizer.ggml.merges[${index}] is ${shown(line)}; expected two tokens, a space between, that make a third`);
}

function tokenizerConfig(metadata: MetadataReader, tokens: readonly string[]): JsonObject {
  const token = (name: string): string | null => {
    const id = metadata.whole(`tokenizer.ggml.${name}_token_id`);
    return id === null
      ? null
      : (tokens[id] ?? metadata.bad(`tokenizer.ggml.${name}_token_id is ${id}; the last token is ${tokens.length - 1}`));
  };
  return {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: token("bos"),
    eos_token: token("eos"),
    pad_token: token("padding"),
    add_bos_token: metadata.flag("tokenizer.ggml.add_bos_token") ?? true,
    clean_up_tokenization_spaces: false,
    ...chatTemplates(metadata),
  };
}

/** One template, or several by name; `tokenizer.chat_template` is then the one called "default". */
function chatTemplates(metadata: MetadataReader): JsonObject {
  const plain = metadata.text("tokenizer.chat_template");
  const names = metadata.texts("tokenizer.chat_templates") ?? [];
  const named = names.map((name) => {
    const key = `tokenizer.chat_template.${name}`;
    return { name, template: metadata.need(key, metadata.text(key)) };
  });
  if (named.length === 0) return plain === null ? {} : { chat_template: plain };
  return { chat_template: [...(plain === null ? [] : [{ name: "default", template: plain }]), ...named] };
}
