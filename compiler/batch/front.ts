/**
 * The one front of every engine: lines become requests, outcomes become lines again, in the input's order. What it holds at a time is bounded by how
 * far an engine may run ahead.
 */
import type { Tokenizer } from "../../runtime/index.ts";
import { internal } from "../errors.ts";
import type { BatchOutcome, BatchRequest, BatchSettings, LineError, OpenEngine } from "./engine.ts";
import { InOrder } from "./in-order.ts";
import type { PromptLine } from "./prompt-line.ts";
import { answerOf, completionLine, errorLine, type BatchRecord } from "./record.ts";

export interface FrontParts {
  /** From `first` on. */
  readonly lines: AsyncIterable<PromptLine>;
  readonly first: number;
  readonly prepare: (line: PromptLine) => BatchRequest | LineError;
  readonly engine: Pick<OpenEngine, "run" | "ahead">;
  readonly settings: BatchSettings;
  /** null where completions have no text. */
  readonly tokenizer: Tokenizer | null;
  /** Gets each line of the output, in order. */
  readonly write: (line: string) => void;
  /** Hears of each outcome when it is there, in any order. */
  readonly onRecord: (record: Omit<BatchRecord, "index">) => void;
}

interface Asked {
  readonly request: BatchRequest;
  readonly id: string | undefined;
}

/** Runs all lines. Throws what reader and engine throw, and an `InternalError` where the engine does not answer each request once. */
export async function runFront({ lines, first, prepare, engine, settings, tokenizer, write, onRecord }: FrontParts): Promise<void> {
  const output = new InOrder(first, engine.ahead, write);
  const asked = new Map<number, Asked>();
  const fail = (index: number, id: string | undefined, error: LineError): void => {
    onRecord({ error });
    output.put(index, errorLine(index, id, error));
  };
  const requests = async function* (): AsyncGenerator<BatchRequest, void, void> {
    for await (const line of lines) {
      await output.room(line.index);
      const request = prepare(line);
      if ("code" in request) fail(line.index, line.id, request);
      else {
        asked.set(line.index, { request, id: line.id });
        yield request;
      }
    }
  };
  const settle = (outcome: BatchOutcome): void => {
    const { index } = outcome;
    const { request, id } = asked.get(index) ?? internal(`the engine answered line ${index}, which it was not asked for or has answered`);
    asked.delete(index);
    if ("error" in outcome) {
      fail(index, id, outcome.error);
      return;
    }
    const endTokens = settings.ignoreEos ? [] : request.endTokens;
    const answer = answerOf(outcome, { stop: settings.stop, endTokens }, tokenizer);
    const promptTokens = request.tokens.length;
    onRecord({ tokens: answer.tokens, promptTokens });
    output.put(index, completionLine(index, id, answer, promptTokens));
  };
  for await (const outcome of engine.run(requests(), settings)) settle(outcome);
  if (asked.size > 0) internal(`the engine ended without an answer to ${asked.size} lines`);
}
