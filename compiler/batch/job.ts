/** What makes a batch the same batch when it goes on after a kill: the file beside the journal that says so. */
import { open, readFile, rename } from "node:fs/promises";
import { isSystemFault, LfmcError } from "../errors.ts";
import { parseJson } from "../import/json.ts";
import type { BatchSettings } from "./engine.ts";

const format = "lfmc-batch";

/** Everything that a byte of the output depends on. Engines are not among it. */
export interface Job {
  readonly format: typeof format;
  /** Version of lfmc. */
  readonly lfmc: string;
  readonly input: { readonly sha256: string; readonly lines: number };
  /** The weights and what is computed with them, and what texts become tokens by. */
  readonly model: { readonly hash: string; readonly context: number; readonly text: string };
  readonly settings: BatchSettings & { readonly maxTokens: number; readonly seed: number };
}

/** A job with the time at which it was begun, which chat templates may show. */
export interface StartedJob extends Job {
  readonly started: string;
}

export function jobOf(parts: Omit<Job, "format">): Job {
  return { format, ...parts };
}

/** The job that was begun at `path`, which must be this one. Throws io/exists where it is another, or there is none; `way` is the way out. */
export async function readJob(path: string, job: Job, way: string): Promise<StartedJob> {
  const bytes = await readFile(path).catch((error: unknown) => {
    if (isSystemFault(error) && error.code === "ENOENT") return new Uint8Array(0);
    throw error;
  });
  const parsed = parseJson(bytes);
  if (!("value" in parsed) || !isStarted(parsed.value)) {
    throw new LfmcError("io/exists", "tells of no batch that can go on", { subject: path, hint: way });
  }
  const { started, ...found } = parsed.value;
  const difference = firstDifference(found, job, []);
  if (difference === null) return { ...job, started };
  throw new LfmcError("io/exists", `is of another batch: ${difference} differs`, { subject: path, hint: way });
}

/** Writes the job whole or not at all. */
export async function writeJob(path: string, job: StartedJob): Promise<void> {
  const aside = `${path}.new`;
  const file = await open(aside, "w");
  try {
    await file.writeFile(`${JSON.stringify(job, null, 2)}\n`);
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(aside, path);
}

function isStarted(value: unknown): value is { readonly started: string } {
  return (
    typeof value === "object" &&
    value !== null &&
    "format" in value &&
    value.format === format &&
    "started" in value &&
    typeof value.started === "string"
  );
}

/** The path of the first value that is not the same in both; null where all are. */
function firstDifference(found: unknown, wanted: unknown, path: readonly string[]): string | null {
  if (typeof found !== "object" || typeof wanted !== "object" || found === null || wanted === null) {
    return found === wanted ? null : path.join(".");
  }
  const [have, want] = [new Map(Object.entries(found)), new Map(Object.entries(wanted))];
  for (const key of new Set([...want.keys(), ...have.keys()])) {
    const difference = firstDifference(have.get(key), want.get(key), [...path, key]);
    if (difference !== null) return difference;
  }
  return null;
}
