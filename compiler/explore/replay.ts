/** A search again from what an earlier one measured: nothing is built and no clock is read, and the same request gives the same bytes. */
import { LfmcError } from "../errors.ts";
import type { Verdict } from "./evaluator.ts";
import type { Pace } from "./search.ts";
import type { BySite, Candidate, Laboratory, Measured, Point, Refused, Results } from "./types.ts";

/** Answers with the measurements in `results`, which `file` holds. Throws run/input for a candidate that was not measured then. */
export function replayLaboratory(results: Results, file: string, planner: Pick<Laboratory, "plan">): Laboratory {
  const asked = new Set<string>();
  const measure = (candidate: Candidate): BySite<Measured | Refused> => {
    const isSecond = asked.has(candidate.id);
    asked.add(candidate.id);
    const bySite = pointOf(results, candidate, file).sites.map(({ measured, confirmed }) => (isSecond ? confirmed : measured));
    const known = bySite.flatMap((outcome) => outcome ?? []);
    return known.length === bySite.length ? known : unmeasured(candidate, file);
  };
  return {
    sites: results.sites,
    plan: (candidate) => planner.plan(candidate),
    measure: (candidates) => Promise.resolve(candidates.map(measure)),
    close: () => Promise.resolve(),
  };
}

/** Goes as far as the earlier search went. */
export function replayPace({ rounds: all, endedBy }: Results): Pace {
  return { allows: (rounds) => endedBy !== "time" || rounds < all };
}

/** What the command of --evaluate said then. Throws run/input for a candidate that it was not asked about. */
export function replayEvaluation(results: Results, file: string): (candidate: Candidate) => Promise<Verdict> {
  return (candidate) => {
    const { quality, qualitySource, qualityFault } = pointOf(results, candidate, file);
    return Promise.resolve(qualitySource === "command" ? { quality, fault: qualityFault } : unmeasured(candidate, file));
  };
}

function pointOf({ points }: Results, { id }: Candidate, file: string): Point {
  return points.find(({ candidate }) => candidate.id === id) ?? unmeasured({ id }, file);
}

function unmeasured({ id }: Pick<Candidate, "id">, file: string): never {
  throw new LfmcError("run/input", `has no measurement of candidate ${id}, which this search asks for`, {
    subject: file,
    hint: "ask for the same as the search that wrote it: its command is in the file; or leave --replay out",
  });
}
