/** JSON files that nobody vouches for: read whole, strictly, and only up to a size that no honest one exceeds. */
import { readFile, stat } from "node:fs/promises";
import { LfmcError } from "../errors.ts";
import { parseJson } from "./json.ts";

/** Config files of models have kilobytes. */
const jsonBytesMax = 16 * 2 ** 20;
const hint = "is this the right file?";

/** The JSON value of the file at `path`. Throws io/missing, io/unreadable, and config/invalid where it is no JSON or too large. */
export async function readJson(path: string): Promise<unknown> {
  const { size } = await stat(path).catch((cause: unknown) => {
    throw new LfmcError("io/missing", "does not exist, or may not be seen", { subject: path, hint, cause });
  });
  if (size > jsonBytesMax) {
    throw new LfmcError("config/invalid", `has ${size} bytes; at most ${jsonBytesMax} are read`, { subject: path, hint });
  }
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new LfmcError("io/unreadable", "cannot be read", { subject: path, hint, cause });
  });
  const parsed = parseJson(bytes);
  if ("fault" in parsed) throw new LfmcError("config/invalid", parsed.fault, { subject: path, hint: "correct the file" });
  return parsed.value;
}
