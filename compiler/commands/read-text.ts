/** Text files that flags name. */
import { readFile } from "node:fs/promises";
import { LfmcError } from "../errors.ts";

/** The text of a file; `hint` says what should be in it. Throws io/missing, and run/input where it is not UTF-8. */
export async function readText(path: string, hint: string): Promise<string> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new LfmcError("io/missing", "cannot be read", { subject: path, hint, cause });
  });
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new LfmcError("run/input", "is not UTF-8 text", { subject: path, hint, cause });
  }
}
