/**
 * The process that measures a model, as an entry file: it imports the runtime and no compiler, so that its peak memory is the model's and the
 * engine has compiled none of the code before. It tells what it finds by messages.
 */
import { existsSync, readFileSync } from "node:fs";
import { load as loadModule, LfmcError } from "../../runtime/index.ts";
import { load as loadLibrary } from "../../runtime/library/index.ts";
import { internal, required } from "../errors.ts";
import { firstPrompt, type ModelJob, type ModelMessage } from "./measurement.ts";
import { measureModel, prefill, promptTokens } from "./model.ts";
import { fillSlot } from "./slot-file.ts";
import { now } from "./timing.ts";

const job: unknown = JSON.parse(process.argv[2] ?? "null");
if (!isJob(job)) internal("no job");
try {
  await run(job);
} catch (error) {
  if (!(error instanceof LfmcError)) throw error;
  const { code, subject, hint, message } = error;
  tell({ kind: "refused", code, subject, hint, fact: message.slice(`${subject}: `.length) });
}

async function run({ base, library, variant, threads, works, folder }: ModelJob): Promise<void> {
  const begin = now();
  const model = await (library === null ? loadModule : loadLibrary)({
    base: new URL(base),
    library: library === null ? undefined : new URL(library),
    variant: variant ?? undefined,
    threads,
  });
  prefill(model, promptTokens(model, Math.min(firstPrompt, model.manifest.limits.context)), 0);
  const firstTokenSeconds = now() - begin;
  const chosen = required(model.variant, "variant");
  tell({ kind: "loaded", variant: chosen.name, isThreaded: chosen.threads, firstTokenSeconds });
  for (const work of works) {
    if (work.depth > 0) fillSlot(model, work.depth, `${folder}/${work.depth}`);
    tell({ kind: "measured", work, speed: measureModel(model, work), peakBytes: peakBytes() });
  }
  await model.dispose();
}

/** Peak resident set; what getrusage says of it includes what the parent process held when it started this one. */
function peakBytes(): number {
  const status = "/proc/self/status";
  const peak = existsSync(status) ? /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(status, "utf8")) : null;
  return Number(peak?.[1] ?? process.resourceUsage().maxRSS) * 1024;
}

function tell(message: ModelMessage): void {
  process.send?.(message);
}

/** Only `measureArtefact` starts this file. */
function isJob(value: unknown): value is ModelJob {
  return typeof value === "object" && value !== null && "works" in value;
}
