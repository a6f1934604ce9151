/**
 * The runtime's public surface, and the root of the bundle `runtime.js` that every artefact carries; `chat/` and `json-schema/` are bundles beside
 * it. An artefact's entry file only adds where it lies: `load({ base: new URL("./", import.meta.url), ...options })`.
 */
import "./host-types.ts";

export { type ByteReader, type BytesInput, byteReader } from "./bytes.ts";
export type { CacheWish, PieceStore } from "./cache/piece-store.ts";
export { type Constraint } from "./constraint.ts";
export { type Engine, type Row } from "./engine.ts";
export { type ErrorCode, type ErrorDetails, LfmcError } from "./errors.ts";
export { type Feature, type VariantWish, detectFeatures, selectVariant } from "./features.ts";
export { type Decode, type GenerateOptions, type PrefillOptions } from "./generate-options.ts";
export { type GenerationResult, type GenerationStats, type Part, type StopReason } from "./generation.ts";
export type { Json, JsonObject } from "./json.ts";
export { type TokenLogprob } from "./logprobs.ts";
export { type LoadOptions, type LoadProgress, type ModuleInput } from "./load.ts";
export { load } from "./load-module.ts";
export type * from "./manifest.ts";
export { parseManifest } from "./manifest-parse.ts";
export { type Model, type ModelParts, createModel } from "./model.ts";
export { type Sampler, type SamplingSettings, argmax, createSampler } from "./sampler.ts";
export { type Completion, Session, type Turn } from "./session.ts";
export { SessionPool, type SessionPoolOptions } from "./session-pool.ts";
export { type ArtefactSource, urlSource } from "./sources.ts";
export { TextStream } from "./text-stream.ts";
export { type EncodeOptions, type StreamOptions, type Tokenizer, createTokenizer } from "./tokenizer.ts";
export type { ShardFunction, WeightsInput } from "./weights.ts";
