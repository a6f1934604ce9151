/**
 * What a batch asks of whatever generates: token ids in, token ids out, in any order. Text, ids of lines, errors of input, order and files are the
 * front's (front.ts), so that no engine can change a byte of the output but by other tokens, and those are the same on every machine.
 */
import type { Manifest, StopReason } from "../../runtime/index.ts";

/** One prompt; it depends on no other. The front has checked that its ids are the vocabulary's and that the context has room for one more. */
export interface BatchRequest {
  /** The line of the input, from 0. */
  readonly index: number;
  /** The prompt, whole: BOS is among them where there is one. */
  readonly tokens: readonly number[];
  /** Most tokens to generate. */
  readonly maxTokens: number;
  /** From 0 to 2^53 - 1. */
  readonly seed: number;
  /** Tokens that end it beside the model's own, unless `ignoreEos`. An engine may leave them to the front, which cuts there. */
  readonly endTokens: readonly number[];
}

/** What all requests have in common, with the model's defaults filled in. */
export interface BatchSettings {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  /** Go on after an end token. */
  readonly ignoreEos: boolean;
  /** Texts that end a completion. An engine may leave them to the front, which cuts there. */
  readonly stop: readonly string[];
}

/** What a session's `complete` gives for the request: the end token is among the tokens, and so is the one that completed a stop text. */
export interface BatchCompletion {
  readonly index: number;
  /** Those that were generated, without the prompt. */
  readonly tokens: readonly number[];
  readonly stopReason: StopReason;
}

/** A request that could not be served, though the engine goes on. */
export interface BatchFailure {
  readonly index: number;
  readonly error: LineError;
}

/** Why a line has no completion. */
export interface LineError {
  /** As of an `LfmcError`. */
  readonly code: string;
  readonly message: string;
}

export type BatchOutcome = BatchCompletion | BatchFailure;

/**
 * Gives one outcome for each request, in any order, and ends after the last. Pulls requests no faster than it works on them; throws where it
 * cannot go on, and the job can be resumed then.
 */
export type BatchEngine = (requests: AsyncIterable<BatchRequest>, settings: BatchSettings) => AsyncIterable<BatchOutcome>;

/** An engine that is ready, and what it holds. */
export interface OpenEngine {
  readonly run: BatchEngine;
  /**
   * How many lines the front may be ahead of the first one that has no outcome yet. The engine must be able to go on with so many requests,
   * none of them answered: more may not come before the first is answered.
   */
  readonly ahead: number;
  /** Lets go of all it holds; also after a failure. */
  close(): Promise<void>;
}

/** What an engine is opened with. */
export interface EngineOptions {
  /** The artefact's folder. */
  readonly folder: string;
  /** Of that artefact. */
  readonly manifest: Manifest;
  readonly threads?: number | undefined;
  readonly variant?: string | undefined;
  /** Of a cluster. */
  readonly address?: string | undefined;
  readonly workers?: number | undefined;
  /** Tells the user something that is no error. */
  readonly note: (text: string) => void;
}

/** Throws `LfmcError` where the engine cannot run here. */
export type EngineOpener = (options: EngineOptions) => Promise<OpenEngine>;
