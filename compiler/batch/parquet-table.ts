/**
 * Prompts from a Parquet table, a row group at a time. This file alone knows how such tables are read. The package that does it trusts the file: a damaged
 * one may keep it busy for ever, so only parquet-worker.ts calls this.
 */
import { open, type FileHandle } from "node:fs/promises";
import { parquetMetadataAsync, parquetReadObjects, parquetSchema, type AsyncBuffer, type FileMetaData } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { isSystemFault, LfmcError } from "../errors.ts";
import type { PromptLine } from "./prompt-line.ts";

const damagedHint = "is the file whole? write it again, or give JSON lines";

/** Columns that say what to generate from. */
const promptColumns: readonly string[] = ["prompt", "tokens", "messages"];
const columnsRead: readonly string[] = [...promptColumns, "id", "seed", "maxTokens", "max_tokens"];

/**
 * How many rows there are, then the rows from `first` on; a null is as good as no value. Throws run/input for a file that is no Parquet table, is
 * damaged, or has no column of prompts.
 */
export async function* tablePrompts(path: string, first: number): AsyncGenerator<number | PromptLine, void, void> {
  const file = await open(path);
  try {
    const { table, metadata, columns } = await openTable(path, file);
    yield Number(metadata.num_rows);
    let rowStart = 0;
    for (const { num_rows: count } of metadata.row_groups) {
      const rowEnd = rowStart + Number(count);
      if (rowEnd > first) {
        const start = Math.max(rowStart, first);
        const rows: readonly Readonly<Record<string, unknown>>[] = await readable(path, () =>
          parquetReadObjects({ file: table, metadata, columns: [...columns], rowStart: start, rowEnd, compressors }),
        );
        if (rows.length !== rowEnd - start) throw damaged(path, "a row group has other rows than it says");
        for (const [i, row] of rows.entries()) yield promptOf(start + i, row);
      }
      rowStart = rowEnd;
    }
    if (rowStart !== Number(metadata.num_rows)) throw damaged(path, "row groups have other rows than the table");
  } finally {
    await file.close();
  }
}

interface Table {
  readonly table: AsyncBuffer;
  readonly metadata: FileMetaData;
  /** Of those that are read, the ones that it has. */
  readonly columns: readonly string[];
}

async function openTable(path: string, file: FileHandle): Promise<Table> {
  const { size } = await file.stat();
  const table: AsyncBuffer = { byteLength: size, slice: (start, end = size) => readRange(file, start, Math.min(end, size)) };
  const { metadata, names } = await readable(path, async () => {
    const found = await parquetMetadataAsync(table);
    return { metadata: found, names: parquetSchema(found).children.map(({ element }) => element.name) };
  });
  const columns = names.filter((name) => columnsRead.includes(name));
  if (columns.some((name) => promptColumns.includes(name))) return { table, metadata, columns };
  throw new LfmcError("run/input", `has none of the columns ${promptColumns.join(", ")}`, {
    subject: path,
    hint: "name the column of texts prompt, that of token ids tokens, or that of conversations messages",
  });
}

async function readRange(file: FileHandle, start: number, end: number): Promise<ArrayBuffer> {
  const buffer = new ArrayBuffer(Math.max(0, end - start));
  const { bytesRead } = await file.read(new Uint8Array(buffer), 0, buffer.byteLength, start);
  return bytesRead === buffer.byteLength ? buffer : buffer.slice(0, bytesRead);
}

/** What the package throws of a table, it throws for a damaged one, or for one that is written in a way that it does not know. */
async function readable<Result>(path: string, read: () => Promise<Result>): Promise<Result> {
  try {
    return await read();
  } catch (cause) {
    if (isSystemFault(cause)) throw cause;
    throw damaged(path, cause instanceof Error ? cause.message.slice(0, 200) : "of damage", cause);
  }
}

function damaged(path: string, fact: string, cause?: unknown): LfmcError {
  return new LfmcError("run/input", `cannot be read as a Parquet table (${fact})`, { subject: path, hint: damagedHint, cause });
}

function promptOf(index: number, { id, ...fields }: Readonly<Record<string, unknown>>): PromptLine {
  return {
    index,
    id: idOf(id),
    content: { fields: Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, plain(value)])) },
  };
}

function idOf(id: unknown): string | undefined {
  return isAbsent(id) ? undefined : jsonOf(id);
}

/** JSON takes whole numbers of any size, if only they are not made JavaScript's. */
function jsonOf(value: unknown): string {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[${value.map(jsonOf).join(",")}]`;
  if (typeof value !== "object" || value === null || value instanceof Date || ArrayBuffer.isView(value))
    return JSON.stringify(plain(value));
  const members = Object.entries(value).filter(([, member]) => !isAbsent(member));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${jsonOf(member)}`).join(",")}}`;
}

/** A cell as JSON has it: whole numbers are numbers, lists are arrays, and what is null in an object is not there. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  // Of a time that is beyond JavaScript's, there is nothing to tell.
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (Array.isArray(value)) return value.map(plain);
  if (ArrayBuffer.isView(value)) return Array.from(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).flatMap(([name, member]) => (isAbsent(member) ? [] : [[name, plain(member)]])));
}

function isAbsent(value: unknown): boolean {
  return value === null || value === undefined;
}
