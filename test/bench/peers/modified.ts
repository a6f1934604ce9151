import { stat } from "node:fs/promises";

/** When a file was last written, in ms since 1970; 0 where there is none. */
export async function modifiedAt(path: string): Promise<number> {
  return await stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}
