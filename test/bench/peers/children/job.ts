/** The one argument of a child: its job as JSON. */
import * as v from "valibot";

const job = v.object({
  /** The model: a file or an artefact's folder. */
  path: v.string(),
  /** Time at which the process was started, in ms since 1970. */
  startedAt: v.number(),
  threads: v.number(),
  prompt: v.number(),
  decode: v.number(),
  depth: v.number(),
  samples: v.number(),
  /** Of lfmc's WebAssembly artefact. */
  variant: v.optional(v.string()),
  /** The module in `pages/` that measures in a browser. */
  page: v.optional(v.picklist(["lfmc", "wllama"])),
});

export type Job = v.InferOutput<typeof job>;

/** This process's job. Throws v.ValiError. */
export function readJob(): Job {
  return v.parse(job, JSON.parse(process.argv[2] ?? ""));
}
