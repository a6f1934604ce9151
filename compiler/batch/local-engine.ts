/** The artefact in this process: as many prompts at a time as it has session slots, whose steps share forward calls. */
import { LfmcError } from "../../runtime/errors.ts";
import type { Model, Session } from "../../runtime/index.ts";
import { assertCallable, openArtefact } from "../commands/open-artefact.ts";
import type { BatchEngine, BatchOutcome, BatchRequest, BatchSettings, EngineOptions, OpenEngine } from "./engine.ts";

/** Lines ahead of the first unanswered one, for each session: enough for one to generate very long while others go on. */
const aheadPerSession = 64;

/** Throws what `openArtefact` does, and run/input for a C artefact that cannot be called from here. */
export async function openLocalEngine({ folder, manifest, threads, variant, note }: EngineOptions): Promise<OpenEngine> {
  assertCallable(folder, manifest);
  const { sessions } = manifest.limits;
  if (sessions === 1) note("the artefact has one session: compiled with --sessions 8 it generates for several lines in each forward call");
  const model = await openArtefact(folder, { threads, variant });
  return { run: localEngine(model), ahead: aheadPerSession * sessions, close: () => model.dispose() };
}

interface Finished {
  readonly session: Session;
  /** null where there was no more request. */
  readonly outcome: BatchOutcome | null;
}

/** Generates with all of the model's sessions, of which none may be taken. */
export function localEngine(model: Model): BatchEngine {
  return async function* (requests, settings) {
    const source = requests[Symbol.asyncIterator]();
    const next = async (session: Session): Promise<Finished> => {
      const found = await source.next();
      return { session, outcome: found.done ? null : await answer(session, found.value, settings) };
    };
    const running = new Map<Session, Promise<Finished>>();
    const start = (session: Session): void => {
      const finished = next(session);
      // Heard below; and when nobody asks for outcomes any more, nobody shall hear that the model is gone.
      finished.catch(() => undefined);
      running.set(session, finished);
    };
    for (let i = 0; i < model.manifest.limits.sessions; i++) start(model.createSession());
    while (running.size > 0) {
      const { session, outcome } = await Promise.race(running.values());
      running.delete(session);
      if (outcome === null) continue;
      // Before the outcome is handed over, so that the session does not idle meanwhile.
      start(session);
      yield outcome;
    }
  };
}

/** What the session holds of the prompt already, such as a system prompt that lines share, is kept; no bit depends on it. */
async function answer(
  session: Session,
  { index, tokens, endTokens, maxTokens, seed }: BatchRequest,
  settings: BatchSettings,
): Promise<BatchOutcome> {
  try {
    const kept = session.keepPrefix(tokens);
    const { tokens: generated, stopReason } = await session.complete(tokens.slice(kept), { ...settings, endTokens, maxTokens, seed });
    return { index, tokens: generated, stopReason };
  } catch (error) {
    if (!(error instanceof LfmcError) || error.code === "run/disposed") throw error;
    return { index, error: { code: error.code, message: error.message } };
  }
}
