/** What both kinds of completion have in common: how their answers are made, in pieces and whole. */
import { randomUUID } from "node:crypto";
import type { GenerateOptions, Model, Session, StopReason } from "../../runtime/index.ts";
import { internal } from "../errors.ts";
import { timedOut } from "./admission.ts";
import type { SharedFields } from "./fields.ts";
import type { ServedModel } from "./served-model.ts";

export interface JobLimits {
  readonly signal: AbortSignal;
  /** The answer ends, as at `max_tokens`, when so much time has passed. */
  readonly maxSeconds: number;
}

/** A request that was understood. */
export interface Job {
  /** The prompt. */
  readonly tokens: readonly number[];
  readonly stream: boolean;
  /** Generates in a session that was rewound to what it shares with the prompt: yields the pieces of a stream, returns the whole answer. */
  run(session: Session, limits: JobLimits): AsyncGenerator<object, object, void>;
}

/** What every piece of an answer says, and the whole. */
export interface AnswerHead {
  readonly id: string;
  readonly object: string;
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
}

export function answerHead({ id, model }: ServedModel, object: string, prefix: string): AnswerHead {
  return {
    id: `${prefix}-${randomUUID()}`,
    object,
    created: Math.floor(Date.now() / 1000),
    model: id,
    system_fingerprint: `fp_${model.manifest.model.hash.slice(0, 16)}`,
  };
}

/** Sampling and ends as a request wants them; what it leaves out is the model's. */
export function generateOptions(fields: SharedFields, { signal, maxSeconds }: JobLimits): GenerateOptions {
  return {
    maxTokens: fields.max_tokens ?? undefined,
    temperature: fields.temperature ?? undefined,
    topP: fields.top_p ?? undefined,
    topK: fields.top_k ?? undefined,
    minP: fields.min_p ?? undefined,
    repetitionPenalty: fields.repetition_penalty ?? undefined,
    seed: fields.seed ?? undefined,
    stop: fields.stop ?? undefined,
    logitBias: fields.logit_bias ?? undefined,
    decode: fields.decode ?? undefined,
    window: fields.window ?? undefined,
    signal,
    maxSeconds,
  };
}

/** Tokens of a session's prompt and answer; `cached` of them needed no evaluation. */
export function usageOf(session: Session, promptTokens: number, cached: number): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: session.position - promptTokens,
    total_tokens: session.position,
    prompt_tokens_details: { cached_tokens: cached },
  };
}

/** Why the session's generation ended. Throws `ApiError` 504 where its time was over before the first token. */
export function stopReasonOf({ result }: Session): StopReason {
  if (result === null) return internal("a generation ended without a result");
  if (result.stopReason === "time" && result.stats.generatedTokens === 0) throw timedOut();
  return result.stopReason;
}

/** OpenAI's word for it: a full context and the end of the time are a length. */
export function finishReason(reason: StopReason): "stop" | "length" {
  return reason === "eos" || reason === "stop" ? "stop" : "length";
}

/** The text of a token, special ones as they are written. */
export function tokenText({ tokenizer }: Model, token: number): string {
  if (!tokenizer) return `token_id:${token}`;
  return tokenizer.decode([token]) || (tokenizer.contentOf(token) ?? "");
}

/** JSON has no infinities. */
export function finiteLogprob(logprob: number): number {
  return Math.max(logprob, -9999);
}
