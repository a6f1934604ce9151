/**
 * Several sessions in one forward call: their pending tokens share the rows, so the weights are read once for all of them. Each session's
 * rows are those that it would have had alone, in the same order, so its bits are the same.
 */
import type { RowRunner } from "./engine.ts";
import { throwIfAborted } from "./errors.ts";
import { nextTurn } from "./event-loop.ts";
import type { Limits } from "./manifest.ts";
import type { Timeline } from "./timeline.ts";

/**
 * Evaluates all that is pending in `timelines`, in as many calls as the limits ask for. Resolves to a copy of the logits after the last token
 * of each, empty where nothing was pending. Throws `run/aborted` between calls; what was evaluated stays so.
 */
export async function evaluateTogether(
  limits: Limits,
  runner: RowRunner,
  timelines: readonly Timeline[],
  signal: AbortSignal | undefined,
): Promise<readonly Float32Array[]> {
  const results = timelines.map(() => new Float32Array(0));
  while (timelines.some(({ pending }) => pending > 0)) {
    throwIfAborted(signal, "sessions");
    const shares = sharesOf(limits, timelines);
    const logits = runner.forward(shares.flatMap(({ rows }) => rows));
    let used = 0;
    for (const { index, rows } of shares) {
      timelines[index]?.advance(rows.length);
      if (rows.at(-1)?.wantsLogits) results[index] = logits[used++]?.slice() ?? new Float32Array(0);
    }
    await nextTurn();
  }
  return results;
}

interface Share {
  readonly index: number;
  readonly rows: ReturnType<Timeline["next"]>;
}

/** The sessions' rows in one call: as many as fit, and no more last tokens than may have logits. */
function sharesOf({ prefillChunk, logitRows }: Limits, timelines: readonly Timeline[]): readonly Share[] {
  const shares: Share[] = [];
  let [room, logits] = [prefillChunk, logitRows];
  for (const [index, timeline] of timelines.entries()) {
    const rows = timeline.next(room, "last");
    const wants = rows.at(-1)?.wantsLogits ? 1 : 0;
    if (rows.length === 0 || wants > logits) continue;
    shares.push({ index, rows });
    room -= rows.length;
    logits -= wants;
  }
  return shares;
}
