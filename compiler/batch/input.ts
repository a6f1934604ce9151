/** The file of prompts: its format, and what tells it from another. It is read twice, once to know it and once to work. */
import { createHash } from "node:crypto";
import { createReadStream, type Stats } from "node:fs";
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
  const { sha256, lines, bytes } = await readThrough(path);
  if (!(await isParquet(path))) {
    return { sha256, lines, prompts: (first) => jsonlPrompts(sameBytes(path, { sha256, bytes }), first) };
  }
  return { sha256, lines: await parquetRows(path), prompts: (first) => sameFile(path, found, parquetPrompts(path, first)) };
}

/** The bytes that were read before, though the file may have grown since. Throws io/unreadable behind the last where they are others now. */
async function* sameBytes(
  path: string,
  { sha256, bytes }: { readonly sha256: string; readonly bytes: number },
): AsyncGenerator<Uint8Array> {
  if (bytes === 0) return;
  const hash = createHash("sha256");
  for await (const chunk of bytesOf(path, bytes)) {
    hash.update(chunk);
    yield chunk;
  }
  if (hash.digest("hex") !== sha256) throw changed(path);
}

/** The rows of a table. Throws io/unreadable behind the last where the file was written meanwhile. */
async function* sameFile(path: string, before: Stats, rows: AsyncIterable<PromptLine>): AsyncGenerator<PromptLine, void, void> {
  yield* rows;
  const { size, mtimeMs, ino } = await stat(path);
  if (size !== before.size || mtimeMs !== before.mtimeMs || ino !== before.ino) throw changed(path);
}

function changed(path: string): LfmcError {
  const hint = "leave it as it is until the batch has ended; begin anew: delete what lies beside the output";
  return new LfmcError("io/unreadable", "changed while the batch ran", { subject: path, hint });
}

const lineFeed = 10;

/** The hash of a file's bytes, how many they are, and how many lines they make. */
async function readThrough(path: string): Promise<{ readonly sha256: string; readonly lines: number; readonly bytes: number }> {
  const hash = createHash("sha256");
  let [lines, last, bytes] = [0, lineFeed, 0];
  for await (const chunk of bytesOf(path)) {
    hash.update(chunk);
    bytes += chunk.length;
    for (let at = chunk.indexOf(lineFeed); at >= 0; at = chunk.indexOf(lineFeed, at + 1)) lines++;
    last = chunk.at(-1) ?? last;
  }
  return { sha256: hash.digest("hex"), lines: last === lineFeed ? lines : lines + 1, bytes };
}

/** The first `most` bytes of a file. */
function bytesOf(path: string, most = Infinity): AsyncIterable<Uint8Array> {
  return createReadStream(path, { highWaterMark: 2 ** 20, end: most - 1 });
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
