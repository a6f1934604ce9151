/** The file of prompts: its format, and what tells it from another. It is read twice, once to know it and once to work. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { LfmcError } from "../errors.ts";
import { jsonlPrompts } from "./prompts-jsonl.ts";
import { parquetPrompts, parquetRows } from "./prompts-parquet.ts";
import type { PromptLine } from "./prompt-line.ts";

export interface BatchInput {
  /** Of its bytes, in hexadecimal. */
  readonly sha256: string;
  /** Or rows. */
  readonly lines: number;
  /** The lines from `first` on. */
  readonly prompts: (first: number) => AsyncIterable<PromptLine>;
}

/**
 * Reads the file once, and tells of it. Throws io/missing, io/unreadable for what is no file that can be read again, run/input for a damaged
 * table, and what the system does.
 */
export async function openInput(path: string): Promise<BatchInput> {
  const found = await stat(path).catch((cause: unknown) => {
    const hint = "give a file of JSON lines, or a Parquet table";
    throw new LfmcError("io/missing", "does not exist, or may not be seen", { subject: path, hint, cause });
  });
  if (!found.isFile()) {
    const hint = "write the prompts into a file first: a batch that goes on after a kill reads it again";
    throw new LfmcError("io/unreadable", "is not a file", { subject: path, hint });
  }
  const { sha256, lines } = await readThrough(path);
  if (!(await isParquet(path))) return { sha256, lines, prompts: (first) => jsonlPrompts(path, first) };
  return { sha256, lines: await parquetRows(path), prompts: (first) => parquetPrompts(path, first) };
}

const lineFeed = 10;

/** The hash of a file's bytes, and how many lines they make. */
async function readThrough(path: string): Promise<{ readonly sha256: string; readonly lines: number }> {
  const hash = createHash("sha256");
  let [lines, last] = [0, lineFeed];
  for await (const chunk of bytesOf(path)) {
    hash.update(chunk);
    for (let at = chunk.indexOf(lineFeed); at >= 0; at = chunk.indexOf(lineFeed, at + 1)) lines++;
    last = chunk.at(-1) ?? last;
  }
  return { sha256: hash.digest("hex"), lines: last === lineFeed ? lines : lines + 1 };
}

function bytesOf(path: string): AsyncIterable<Uint8Array> {
  return createReadStream(path, { highWaterMark: 2 ** 20 });
}

/** What Parquet tables begin with. */
const magic = "PAR1";

async function isParquet(path: string): Promise<boolean> {
  if (path.toLowerCase().endsWith(".parquet")) return true;
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(magic.length), 0, magic.length, 0);
    return buffer.toString("latin1", 0, bytesRead) === magic;
  } finally {
    await file.close();
  }
}
