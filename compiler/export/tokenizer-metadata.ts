/**
 * `tokenizer.json` -> the tokenizer of a GGUF file, as llama.cpp's converter writes it: byte-level BPE of the kind that it calls "lfm2". A
 * tokenizer of another kind is refused: llama.cpp would split texts in other ways, silently.
 */
import type { SpecialTokens } from "../import/config.ts";
import { wordPatterns } from "../import/gguf/tokenizer.ts";
import { invalid, isRecord, shown, unsupported } from "../import/schema-error.ts";
import type { Metadata } from "./gguf-file.ts";

/** What of a model its GGUF file needs for texts. */
export interface TokenizerFiles {
  /** Names the tokenizer in errors. */
  readonly path: string;
  /** `tokenizer.json` and `tokenizer_config.json` (null: there is none), parsed. */
  readonly json: unknown;
  readonly config: unknown;
  readonly chatTemplate: string | null;
}

export interface TokenizerMetadata {
  readonly metadata: Metadata;
  readonly warnings: readonly string[];
}

/** GGUF's kinds of tokens. */
const kinds = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const;

/** What llama.cpp calls LFM2's way to cut text into words. */
const kind = "lfm2";

/**
 * The metadata of a model's tokenizer and special tokens; without files, of a model that has none. Throws config/unsupported for another
 * kind of tokenizer, config/invalid for one that does not hold together.
 */
export function tokenizerMetadata(files: TokenizerFiles | null, tokens: SpecialTokens, vocabSize: number): TokenizerMetadata {
  if (files === null) {
    const warning = "the model has no tokenizer: llama.cpp will take token ids alone";
    return { metadata: { "tokenizer.ggml.model": "none", ...idMetadata(tokens) }, warnings: [warning] };
  }
  const { path, json, config, chatTemplate } = files;
  const model = checkedModel(json, path);
  const added = addedTokens(json, path);
  const { texts, types } = vocabulary(model, added, vocabSize, path);
  const metadata: Metadata = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": kind,
    "tokenizer.ggml.tokens": texts,
    "tokenizer.ggml.token_type": types,
    "tokenizer.ggml.merges": merges(model, path),
    ...idMetadata(tokens),
    "tokenizer.ggml.add_bos_token": addsBos(json, config),
    ...(chatTemplate === null ? {} : { "tokenizer.chat_template": chatTemplate }),
  };
  const spaced = added.filter(({ strips }) => strips).map(({ content }) => shown(content));
  const warnings = [
    ...(spaced.length === 0 ? [] : [`a GGUF file cannot say that tokens take the spaces beside them: ${spaced.join(", ")}`]),
    ...(model.ignore_merges === true ? [] : ["llama.cpp takes a word that is a token as it is, without merges"]),
  ];
  return { metadata, warnings: warnings.map((warning) => `tokenizer.json: ${warning}`) };
}

function idMetadata({ bos, eos: [eos, eot, eom], pad }: SpecialTokens): Metadata {
  return {
    ...(bos === null ? {} : { "tokenizer.ggml.bos_token_id": bos }),
    ...(eos === undefined ? {} : { "tokenizer.ggml.eos_token_id": eos }),
    ...(eot === undefined ? {} : { "tokenizer.ggml.eot_token_id": eot }),
    ...(eom === undefined ? {} : { "tokenizer.ggml.eom_token_id": eom }),
    ...(pad === null ? {} : { "tokenizer.ggml.padding_token_id": pad }),
  };
}

type Json = Readonly<Record<string, unknown>>;

/** The tokenizer's `model`, where every part is what llama.cpp does for "lfm2". */
function checkedModel(json: unknown, path: string): Json {
  if (!isRecord(json) || !isRecord(json.model)) return invalid(path, "has no model", "fetch the file again");
  const { model, normalizer = null } = json;
  const [split, bytes, ...others] = listOf(isRecord(json.pre_tokenizer) ? json.pre_tokenizer.pretokenizers : null);
  const pattern = isRecord(split) && isRecord(split.pattern) ? split.pattern.Regex : undefined;
  const faults = [
    ...(model.type === "BPE" ? [] : [`model ${shown(model.type)}`]),
    ...(normalizer === null ? [] : ["a normalizer"]),
    ...(pattern === wordPatterns.get(kind) && isRecord(split) && split.behavior === "Isolated" && split.invert !== true
      ? []
      : ["another way to split texts"]),
    ...(isRecord(bytes) && bytes.type === "ByteLevel" && bytes.add_prefix_space !== true && others.length === 0
      ? []
      : ["no plain byte level"]),
  ];
  if (faults.length === 0) return model;
  const hint = "a GGUF file names a tokenizer by its kind, and llama.cpp knows LFM2's alone";
  return unsupported(path, `has ${faults.join(", ")}, which is not LFM2's tokenizer`, hint);
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  readonly strips: boolean;
}

function addedTokens(json: unknown, path: string): readonly AddedToken[] {
  return listOf(isRecord(json) ? json.added_tokens : null).map((token) => {
    if (!isRecord(token) || !isId(token.id) || typeof token.content !== "string") {
      return invalid(path, `added_tokens holds ${shown(token)}`, "fetch the file again");
    }
    const strips = [token.lstrip, token.rstrip, token.single_word].includes(true);
    return { id: token.id, content: token.content, special: token.special === true, strips };
  });
}

/** Token texts and kinds by id; ids that the tokenizer leaves out are filled up, as the converter does. */
function vocabulary(model: Json, added: readonly AddedToken[], vocabSize: number, path: string) {
  const texts = Array.from({ length: vocabSize }, (_, id) => `[PAD${id}]`);
  const types = new Array<number>(vocabSize).fill(kinds.unused);
  const put = (id: unknown, content: string, kind: number): void => {
    if (!isId(id) || id >= vocabSize) {
      invalid(
        path,
        `gives ${shown(content)} the id ${shown(id)}, outside the model's vocabulary of ${vocabSize}`,
        "is this the model's own tokenizer?",
      );
    }
    texts[id] = content;
    types[id] = kind;
  };
  for (const [content, id] of Object.entries(isRecord(model.vocab) ? model.vocab : {})) put(id, content, kinds.normal);
  for (const { id, content, special } of added) put(id, content, special ? kinds.control : kinds.userDefined);
  return { texts, types };
}

/** Merges are pairs, or two words in one text. */
function merges({ merges: list }: Json, path: string): readonly string[] {
  return listOf(list).map((merge) => {
    const text: unknown = Array.isArray(merge) ? merge.join(" ") : merge;
    if (typeof text === "string" && text.split(" ").length === 2) return text;
    return invalid(path, `merges holds ${shown(merge)}`, "fetch the file again");
  });
}

/** As tokenizer_config.json says, else whether the tokenizer's own post-processor puts a token in front. */
function addsBos(json: unknown, config: unknown): boolean {
  const said = isRecord(config) ? config.add_bos_token : undefined;
  if (typeof said === "boolean") return said;
  const processor = isRecord(json) ? json.post_processor : null;
  const steps = isRecord(processor) ? [processor, ...listOf(processor.processors)] : [];
  return steps.some((step) => {
    const [first] = listOf(isRecord(step) ? step.single : null);
    return isRecord(first) && isRecord(first.SpecialToken);
  });
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value) && typeof value === "number" && value >= 0;
}
