/** The targets by name. Each is loaded when it is asked for: emitters are large, and most commands need none. */
import type { Target, TargetVariant } from "../targets/target.ts";
import { LfmcError } from "./errors.ts";
import { readTunedFile, type TunedFile } from "./import/tuned-file.ts";
import { widthOf, type DotAtom } from "./kernel/atom.ts";
import { tileFault } from "./kernel/library/tiles.ts";
import type { CompileOptions, EngineFeature } from "./options.ts";

const cTarget = async (name: "c" | "c-x86" | "c-arm"): Promise<Target> => (await import("../targets/c/target.ts")).cTargets[name];

const loaders = {
  "wasm-simd": async (): Promise<Target> => (await import("../targets/wasm/target.ts")).wasmSimd,
  c: () => cTarget("c"),
  "c-x86": () => cTarget("c-x86"),
  "c-arm": () => cTarget("c-arm"),
} as const;

export type TargetName = keyof typeof loaders;
export const targetNames: readonly TargetName[] = ["wasm-simd", "c", "c-x86", "c-arm"];

export function loadTarget(name: TargetName): Promise<Target> {
  return loaders[name]();
}

/** The target as it is, or with the tiles of a file of `lfmc tune`. Throws what readTunedFile and tunedTarget throw. */
export async function loadTunedTarget(name: TargetName, file: string | undefined): Promise<Target> {
  const target = await loadTarget(name);
  return file === undefined ? target : tunedTarget(target, await readTunedFile(file), file);
}

/** What 32-bit addresses reach. */
const narrowMemory = 2 ** 32;

/** The target with those of its variants alone that engines with `features` run. Throws usage/flag where there is none, or where processors choose. */
function limitTarget(target: Target, features: readonly EngineFeature[]): Target {
  const refuse = (fact: string, hint: string): never => {
    throw new LfmcError("usage/flag", fact, { subject: "--features", hint });
  };
  if (target.name !== "wasm-simd")
    refuse(`does not go with --target ${target.name}, whose library chooses by the processor`, "leave it out");
  const has = new Set<string>(features);
  const variants = target.variants.filter(
    (variant) => variant.features.every((name) => has.has(name)) && (has.has("threads") || !variant.threads),
  );
  if (variants.length === 0) refuse(`${features.join(",")} is not enough for any variant`, "name simd128 too, which all need");
  const largest = has.has("memory64") ? target.memory.largest : Math.min(target.memory.largest, narrowMemory);
  return { ...target, variants, memory: { ...target.memory, largest } };
}

/** The target with those of its variants alone that the options ask for. Throws as limitTarget and limitVariants do. */
export function chosenVariants(target: Target, { features, variants }: Pick<CompileOptions, "features" | "variants">): Target {
  const limited = features ? limitTarget(target, features) : target;
  return variants ? limitVariants(limited, variants) : limited;
}

/** The target with those of its variants alone that `names` lists. Throws usage/flag for a name that none of them has. */
function limitVariants(target: Target, names: readonly string[]): Target {
  const known = [...new Set(target.variants.map(({ name }) => name))];
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return { ...target, variants: target.variants.filter(({ name }) => names.includes(name)) };
  throw new LfmcError("usage/flag", `--target ${target.name} has no variant ${JSON.stringify(unknown)} here`, {
    subject: "--variants",
    hint: `name some of ${known.join(", ")}`,
  });
}

/**
 * The target with the best tiles of a file that `lfmc tune` wrote, for the variants and formats that it covers. Throws config/invalid, naming the file,
 * where that was measured for another target, or asks for what an atom cannot do.
 */
export function tunedTarget(target: Target, { target: measured, variants }: TunedFile, file: string): Target {
  const refuse = (fact: string): never => {
    throw new LfmcError("config/invalid", fact, { subject: file, hint: `make it anew: lfmc tune --target ${target.name} -o FILE` });
  };
  if (measured !== target.name) refuse(`was measured for --target ${measured}, not ${target.name}`);
  for (const { variant } of variants) {
    if (!target.variants.some(({ name }) => name === variant)) refuse(`names a variant "${variant}" that --target ${target.name} has not`);
  }
  const tunedVariant = (variant: TargetVariant): TargetVariant => {
    const formats = variants.filter((each) => each.variant === variant.name).flatMap((each) => each.formats);
    for (const { best } of formats) {
      const atom = variant.atoms.find(({ name }) => name === best.atom);
      const fault = atom ? tileFault(atom, best.tile) : `variant ${variant.name} has no atom "${best.atom}"`;
      if (fault !== null) refuse(fault);
    }
    return { ...variant, atoms: variant.atoms.map((atom) => formats.reduce(withBest, atom)) };
  };
  return { ...target, variants: target.variants.map(tunedVariant) };
}

/** The atom whose best tile of a format is the file's, its own behind it for calls of fewer rows; or without tiles of that format where another atom is best. */
function withBest(atom: DotAtom, { format, best }: TunedFile["variants"][number]["formats"][number]): DotAtom {
  const width = widthOf(format);
  const tiles = best.atom === atom.name ? [best.tile, ...atom.tiles[width]] : [];
  return { ...atom, tiles: { ...atom.tiles, [width]: tiles } };
}
