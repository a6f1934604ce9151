/**
 * `generation_config.json` -> sampling defaults and special tokens. As in transformers: without do_sample the model decodes greedily
 * (temperature 0 here), and token ids in this file win over those in `config.json`.
 */
import * as v from "valibot";
import { real, tokenEntries, whole } from "./config-schema.ts";
import { specialTokens, type SpecialTokens } from "./config.ts";
import { firstWarnings, objectOf, parseWith, shown } from "./schema-error.ts";

/** What a call leaves out falls back to these. Temperature 0 is greedy; topK 0, topP 1, minP 0 and repetitionPenalty 1 are off. */
export interface SamplingDefaults {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
}

export interface GenerationConfig {
  readonly sampling: SamplingDefaults;
  readonly tokens: SpecialTokens;
  readonly warnings: readonly string[];
}

/** Sampling of a model without a `generation_config.json`. */
export const greedy: SamplingDefaults = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };

const schema = v.object({
  ...tokenEntries,
  do_sample: v.nullish(v.boolean("true or false")),
  temperature: real(0, 1e4),
  top_k: whole(0, 2 ** 30),
  top_p: real(0, 1),
  min_p: real(0, 1),
  repetition_penalty: real(1e-3, 1e3),
});

const ignoredKeys: ReadonlySet<string> = new Set([
  ...["transformers_version", "_from_model_config", "use_cache", "max_length", "max_new_tokens"],
  ...["output_attentions", "output_hidden_states", "return_dict_in_generate"],
]);

/** Reads a parsed `generation_config.json`; `base` are the tokens of `config.json`. Bad values throw `config/invalid`. */
export function parseGenerationConfig(json: unknown, base: SpecialTokens, vocabSize: number, file: string): GenerationConfig {
  const object = objectOf(json, file);
  const raw = parseWith(schema, object, file);
  const sampled = raw.do_sample ?? false;
  const own = specialTokens(raw, vocabSize, file);
  const unknown = Object.keys(object).filter((key) => !Object.hasOwn(schema.entries, key) && !ignoredKeys.has(key));
  const idle = !sampled && (raw.temperature ?? 0) !== 0;
  return {
    sampling: {
      temperature: sampled ? (raw.temperature ?? 1) : 0,
      topK: raw.top_k ?? greedy.topK,
      topP: raw.top_p ?? greedy.topP,
      minP: raw.min_p ?? greedy.minP,
      repetitionPenalty: raw.repetition_penalty ?? greedy.repetitionPenalty,
    },
    tokens: { bos: own.bos ?? base.bos, eos: own.eos.length > 0 ? own.eos : base.eos, pad: own.pad ?? base.pad },
    warnings: [
      ...firstWarnings(
        unknown.map((key) => `generation_config.json: unknown key ${shown(key)} is ignored`),
        "unknown keys",
      ),
      ...(idle ? ["generation_config.json: temperature is ignored because do_sample is not true"] : []),
    ],
  };
}
