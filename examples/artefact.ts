/**
 * Imports an artefact from a folder that only the command line knows. A program that was written for one model has it easier:
 * `import { load } from "my-model"` gives the same functions with types that know the model's limits.
 */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type * as Runtime from "lfmc/runtime";

export type { Model, Sampler, Session } from "lfmc/runtime";

type Artefact = Omit<typeof Runtime, "load"> & { readonly load: (options?: Runtime.LoadOptions) => Promise<Runtime.Model> };

export async function importArtefact(folder: string): Promise<Artefact> {
  return (await import(pathToFileURL(resolve(folder, "index.js")).href)) as Artefact;
}
