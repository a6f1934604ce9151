/** Tells an artefact's folder from anything else, before its manifest is parsed: a damaged artefact is one too. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { manifestFormat } from "../../runtime/manifest.ts";

/** True where the folder holds a manifest of lfmc's; false where it looks like a model or nothing. */
export async function isArtefact(folder: string): Promise<boolean> {
  const manifest = await readFile(join(folder, "manifest.json"), "utf8").catch(() => "");
  return manifest.includes(JSON.stringify(manifestFormat));
}
