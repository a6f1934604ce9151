/** The files of a target's base, and cases made of them. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Random } from "./random.ts";
import type { Case } from "./target.ts";

/** Makes another content of a file. */
export type Mutator = (random: Random, bytes: Uint8Array) => Uint8Array;

/** A file that cases change, how often among the others, and how. */
export interface Seed {
  readonly path: string;
  readonly weight: number;
  readonly mutate: Mutator;
}

/** Writes files below `base`, with the folders that they need. */
export async function writeBase(base: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(base, path)), { recursive: true });
    await writeFile(join(base, path), content);
  }
}

/** A maker of cases: a seed by its weight, read once and changed. */
export async function caseMaker(base: string, seeds: readonly Seed[]): Promise<(random: Random) => Case> {
  const ready = await Promise.all(seeds.map(async (seed) => ({ ...seed, bytes: new Uint8Array(await readFile(join(base, seed.path))) })));
  const drawn = ready.flatMap((seed) => new Array<typeof seed>(seed.weight).fill(seed));
  return (random) => {
    const { path, bytes, mutate } = random.pick(drawn);
    return { path, bytes: mutate(random, bytes) };
  };
}

/** A mutator of text. */
export function ofText(mutate: (random: Random, text: string) => string | Uint8Array): Mutator {
  return (random, bytes) => {
    const result = mutate(random, new TextDecoder().decode(bytes));
    return typeof result === "string" ? new TextEncoder().encode(result) : result;
  };
}
