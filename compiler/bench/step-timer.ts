/** Steps timed by a program of their own: built from C by the system's compiler, and run under LFMC_RUNNER where that is set. */
import type { Target, TargetVariant, TimedSteps } from "../../targets/target.ts";
import { internal, LfmcError } from "../errors.ts";
import { parseJson } from "../import/json.ts";
import { buildProgram } from "../native/build.ts";
import { runProgram } from "../native/executable.ts";
import type { CallRows } from "./kernel-cost.ts";
import type { Patience } from "./timing.ts";

/** Seconds of one step, over passes through all of them. */
export interface StepTimes {
  readonly least: number;
  readonly median: number;
}

/** Whose code the steps are. */
export interface TimerSetting {
  readonly target: Target;
  readonly variant: TargetVariant;
}

/**
 * Times each step of `timed`, in their order, in passes as many as `patience` says. Throws native/compiler, native/machine, and run/input
 * where the program prints something else than times of just these steps.
 */
export async function timeSteps(
  { target, variant }: TimerSetting,
  timed: TimedSteps,
  { rows, logits, position }: CallRows,
  { least, most, seconds }: Patience,
): Promise<readonly StepTimes[]> {
  const files = target.emitTimer?.(timed, variant) ?? internal(`${target.name} has no program of steps`);
  const built = await buildProgram("kernels", target.name, files);
  const args = [rows, logits, position, least, most, seconds].map(String);
  return parseTimes(await runProgram(built, args, "free some memory, or measure other kernels"), timed, built.path);
}

/** The times that a program printed, one record a step. Throws run/input where they are not those of the steps. */
export function parseTimes(text: string, { steps }: Pick<TimedSteps, "steps">, path: string): readonly StepTimes[] {
  const parsed = parseJson(Buffer.from(text));
  const records = "value" in parsed && Array.isArray(parsed.value) ? parsed.value.filter(isTimed) : [];
  const names = (list: readonly { readonly kernel: string }[]): string => list.map(({ kernel }) => kernel).join();
  if (names(records) === names(steps)) return records;
  throw new LfmcError("run/input", `printed times of ${records.length} steps, not of the plan's ${steps.length}`, {
    subject: path,
    hint: "remove the file, so that it is built again",
  });
}

interface TimedStep extends StepTimes {
  readonly kernel: string;
}

function isTimed(value: unknown): value is TimedStep {
  if (typeof value !== "object" || value === null || !("kernel" in value && "least" in value && "median" in value)) return false;
  return typeof value.kernel === "string" && [value.least, value.median].every((time) => typeof time === "number" && time >= 0);
}
