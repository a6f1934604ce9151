/** lfmc in Node: the artefact's own package, measured through its sessions. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type * as Runtime from "../../../../runtime/index.ts";
import { measureModel } from "../lfmc-model.ts";
import { readJob } from "./job.ts";

type Artefact = Omit<typeof Runtime, "load"> & { readonly load: (options?: Runtime.LoadOptions) => Promise<Runtime.Model> };

const { path, startedAt, variant, ...work } = readJob();

async function open(): Promise<Runtime.Model> {
  const { load } = (await import(pathToFileURL(join(path, "index.js")).href)) as Artefact;
  return await load({ threads: work.threads, variant });
}

process.stdout.write(`${JSON.stringify(await measureModel(open, work, startedAt))}\n`);
