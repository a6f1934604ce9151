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

/** A file of token ids as JSON, at least one. Throws io/missing, and run/input where it is something else. */
export async function readTokenList(path: string): Promise<readonly number[]> {
  const hint = "give a JSON file that holds a list of token ids: [1, 2, 3]";
  const text = await readText(path, hint);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new LfmcError("run/input", "is not JSON", { subject: path, hint, cause });
  }
  if (Array.isArray(json) && json.length > 0 && json.every((id): id is number => Number.isSafeInteger(id) && id >= 0)) return json;
  throw new LfmcError("run/input", "is not a list of token ids", { subject: path, hint });
}
