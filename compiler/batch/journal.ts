/**
 * Lines of the output as they come, in order, beside the output's place: appended, now and then forced to the disk, read back after a kill. A
 * line that was torn, and all behind it, is cut off.
 */
import { appendFileSync, closeSync, createReadStream, fdatasyncSync, openSync } from "node:fs";
import { stat, truncate } from "node:fs/promises";
import { linesOf } from "./prompts-jsonl.ts";
import { parseRecord, type BatchRecord } from "./record.ts";

/** Sums over lines of an output. */
export interface Tally {
  readonly lines: number;
  /** Of them, those without a completion. */
  readonly errors: number;
  readonly promptTokens: number;
  /** Generated. */
  readonly tokens: number;
}

/** Of no lines. */
export const emptyTally: Tally = { lines: 0, errors: 0, promptTokens: 0, tokens: 0 };

/** With one line more. */
export function tallied(tally: Tally, { error, promptTokens = 0, tokens = [] }: Omit<BatchRecord, "index">): Tally {
  return {
    lines: tally.lines + 1,
    errors: tally.errors + (error ? 1 : 0),
    promptTokens: tally.promptTokens + promptTokens,
    tokens: tally.tokens + tokens.length,
  };
}

/** Lines wait so long, or until they are so many characters, before the system gets them. */
const holdMilliseconds = 500;
const holdCharacters = 2 ** 16;
/** What the system has may be lost with its power for so long. */
const syncMilliseconds = 10_000;

export class Journal {
  readonly #file: number;
  readonly #now: () => number;
  #held = "";
  #written: number;
  #synced: number;
  #closed = false;

  /** Appends to the file at `path`. Throws what the system does. */
  constructor(path: string, now: () => number = () => performance.now()) {
    this.#file = openSync(path, "a");
    this.#now = now;
    this.#written = this.#synced = now();
  }

  /** Takes a line without its end. Throws what the system does where it has no room; what was taken before is there still. */
  append(line: string): void {
    this.#held += `${line}\n`;
    const now = this.#now();
    if (this.#held.length < holdCharacters && now - this.#written < holdMilliseconds) return;
    this.flush();
    if (now - this.#synced < syncMilliseconds) return;
    fdatasyncSync(this.#file);
    this.#synced = now;
  }

  /** Hands all lines to the system. */
  flush(): void {
    const held = this.#held;
    this.#held = "";
    appendFileSync(this.#file, held);
    this.#written = this.#now();
  }

  /** Hands all lines to the disk, and ends; once ended it stays so. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.flush();
      fdatasyncSync(this.#file);
    } finally {
      closeSync(this.#file);
    }
  }
}

/** Reads the journal at `path` back, cuts off what is torn, and tells what is left; nothing where there is none. */
export async function recoverJournal(path: string): Promise<Tally> {
  const size = await stat(path).then(
    (found) => found.size,
    () => 0,
  );
  if (size === 0) return emptyTally;
  let tally = emptyTally;
  let length = 0;
  for await (const bytes of linesOf(createReadStream(path), Infinity)) {
    const end = length + (bytes?.length ?? 0) + 1;
    const record = bytes && end <= size ? parseRecord(Buffer.from(bytes).toString("utf8")) : null;
    if (record?.index !== tally.lines) break;
    tally = tallied(tally, record);
    length = end;
  }
  if (length < size) await truncate(path, length);
  return tally;
}
