/**
 * The runtime's public surface, and the root of the bundle that every artefact carries. An artefact's entry file only adds where it lies:
 * `load({ base: new URL("./", import.meta.url), ...options })`.
 */
export { type ChatOptions, type ChatPart, type ChatPrompt, type ChatResult, type FinishReason, chat, encodeChat } from "./chat.ts";
export type { ChatMessage, Json, JsonObject, Tool, ToolCall, ToolCallMessage } from "./chat-messages.ts";
export { type ChatTemplate, type RenderOptions, type TemplateTokens, createChatTemplate, templateTokens } from "./chat-template.ts";
export { type Constraint } from "./constraint.ts";
export { type Engine, type Row } from "./engine.ts";
export { type ErrorCode, type ErrorDetails, LfmcError } from "./errors.ts";
export { type Feature, type VariantWish, detectFeatures, selectVariant } from "./features.ts";
export { type Decode, type GenerateOptions, type PrefillOptions } from "./generate-options.ts";
export { type GenerationResult, type GenerationStats, type Part, type StopReason } from "./generation.ts";
export { type GrammarModel, jsonObject, jsonSchema, regex } from "./json-schema.ts";
export { type TokenLogprob } from "./logprobs.ts";
export { type LoadOptions, type LoadProgress, load } from "./load.ts";
export type * from "./manifest.ts";
export { parseManifest } from "./manifest-parse.ts";
export { type Model, type ModelParts, createModel } from "./model.ts";
export { type Sampler, type SamplingSettings, argmax, createSampler } from "./sampler.ts";
export { type Completion, Session, type Turn } from "./session.ts";
export { SessionPool, type SessionPoolOptions } from "./session-pool.ts";
export { type ArtefactSource, urlSource } from "./sources.ts";
export { TextStream } from "./text-stream.ts";
export { type EncodeOptions, type StreamOptions, type Tokenizer, createTokenizer } from "./tokenizer.ts";
export { type Dialect, dialectOf, dialects } from "./tool-calls/dialect.ts";
export { type ChatEvent, ToolCallStream } from "./tool-calls/stream.ts";
export { type WeightsInput } from "./weights.ts";
