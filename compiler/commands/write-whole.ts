/** Files that a command writes for its user: whole, or not at all. */
import { lstat, rename, rm, writeFile } from "node:fs/promises";
import { LfmcError } from "../errors.ts";

/** Puts the file in its place when it is whole; leaves nothing beside it where that cannot be. A device, a pipe or a link is written into. Throws io/unreadable. */
export async function writeWhole(path: string, file: string | Uint8Array): Promise<void> {
  const found = await lstat(path).catch(() => null);
  const aside = found && !found.isFile() && !found.isDirectory() ? path : `${path}.${process.pid}.partial`;
  try {
    await writeFile(aside, file);
    if (aside !== path) await rename(aside, path);
  } catch (cause) {
    if (aside !== path) await rm(aside, { force: true });
    throw new LfmcError("io/unreadable", "cannot be written", { subject: path, hint: "choose another file with -o", cause });
  }
}
