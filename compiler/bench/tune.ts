/** `lfmc tune`: the best tiles of a target's variants on this machine, as the file that `lfmc compile --tuned` reads. */
import type { Target } from "../../targets/target.ts";
import { packageVersion } from "../artefact/manifest.ts";
import { tunedFormat, tunedVersion, type TunedFile } from "../import/tuned-file.ts";
import { host, inTurn, runnableVariants, type OnStage } from "./records.ts";
import { chooseTile, fitTiles } from "./tile-choice.ts";
import { measureTiles, usualEffort, type TuneEffort } from "./tile-timings.ts";

/**
 * Measures the tiles of every variant of the target that this machine runs, or of the one called `variant`. Throws native/machine where there is
 * none.
 */
export async function tuneTarget(
  target: Target,
  variant: string | null,
  onStage: OnStage,
  effort: TuneEffort = usualEffort,
): Promise<TunedFile> {
  const runnable = runnableVariants(target, variant);
  const hosts = await inTurn(runnable, (each) => host(target, each));
  const variants = await inTurn(runnable, async (each) => {
    const formats = await inTurn(formatNames, async (format) => {
      onStage(`measuring tiles, ${each.name}, ${format}`);
      const timings = await measureTiles(target, each, format, effort);
      return { format, best: chooseTile(timings), timings: [...timings] };
    });
    return { variant: each.name, fit: fitTiles(formats.map(({ timings }) => timings)), formats: [...formats] };
  });
  onStage(null);
  const [{ engine, cpu } = { engine: "", cpu: "" }] = hosts;
  return { format: tunedFormat, version: tunedVersion, lfmc: packageVersion, engine, cpu, target: target.name, variants: [...variants] };
}

/** One of each width: the others have the tiles of these. */
const formatNames = ["q4_0", "q8_0"] as const;
