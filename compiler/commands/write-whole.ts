/** Files that a command writes for its user: whole, or not at all. */
import { rmSync } from "node:fs";
import { open, realpath, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { cleanedUp } from "../artefact/interruption.ts";
import { LfmcError } from "../errors.ts";

/**
 * Puts the file in its place when it is whole; leaves nothing beside it where that cannot be. A device or a pipe is written into, a link followed.
 * Throws io/unreadable.
 */
export async function writeWhole(path: string, file: string | Uint8Array): Promise<void> {
  await writeAside(path, (handle) => handle.writeFile(file));
}

/**
 * The same of a file that `write` makes piece by piece; an interruption leaves nothing either. Throws io/unreadable, and what `write`
 * throws as an LfmcError.
 */
export async function writeAside(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  // Behind a link, what is there is replaced, and the link stays.
  const place = await realpath(path).catch(() => path);
  const found = await stat(path).catch(() => null);
  const aside = found && !found.isFile() && !found.isDirectory() ? path : `${place}.${process.pid}.partial`;
  const clean = (): void => {
    if (aside !== path) rmSync(aside, { force: true });
  };
  await cleanedUp(clean, async () => {
    try {
      const file = await open(aside, "w");
      try {
        await write(file);
      } finally {
        await file.close();
      }
      if (aside !== path) await rename(aside, place);
    } catch (cause) {
      if (aside !== path) await rm(aside, { force: true });
      if (cause instanceof LfmcError) throw cause;
      throw new LfmcError("io/unreadable", "cannot be written", { subject: path, hint: "choose another file with -o", cause });
    }
  });
}
