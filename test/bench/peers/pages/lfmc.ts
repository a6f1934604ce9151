/** lfmc in a page: the same artefact, measured as in Node. Served as JavaScript. */
import type * as Runtime from "../../../../runtime/index.ts";
import { measureModel } from "../lfmc-model.ts";
import type { Repetition } from "../figures.ts";
import type { Job } from "../children/job.ts";

type Artefact = Omit<typeof Runtime, "load"> & { readonly load: (options?: Runtime.LoadOptions) => Promise<Runtime.Model> };

/** Measures the artefact that the server has under `/model/`. */
export async function measure({ startedAt, variant, ...work }: Job): Promise<Repetition> {
  const entry = "/model/index.js";
  const open = async (): Promise<Runtime.Model> => {
    const { load } = (await import(entry)) as Artefact;
    return await load({ threads: work.threads, variant });
  };
  return await measureModel(open, work, startedAt);
}
