/** The lines of a journal as a Parquet table, a row group at a time. This file alone knows how such tables are written. */
import { closeSync, createReadStream, fdatasyncSync, openSync, writeFileSync } from "node:fs";
import { ByteWriter, parquetWriteRows, type SchemaElement } from "hyparquet-writer";
import { required } from "../errors.ts";
import { linesOf } from "./prompts-jsonl.ts";
import { rawMember } from "./raw-member.ts";
import { parseRecord, type BatchRecord } from "./record.ts";

const rowsPerGroup = 10_000;

/** Writes the table of the journal's lines, which are whole, to `path`. Throws what the system does. */
export async function writeParquet(journal: string, path: string): Promise<void> {
  const idKind = await idKindOf(journal);
  const columns = [column("index", "INT64"), ...(idKind ? [idColumns[idKind]] : []), ...answerColumns];
  const file = new FileWriter(path);
  try {
    await parquetWriteRows({
      writer: file,
      rows: rowsOf(journal, idKind),
      columns: columns.map(([{ name }]) => ({ name })),
      schema: [{ name: "root", num_children: columns.length }, ...columns.flat()],
      rowGroupSize: rowsPerGroup,
      createdBy: "lfmc",
    });
  } finally {
    file.close();
  }
}

type Column = readonly [SchemaElement, ...SchemaElement[]];

function column(name: string, type: "INT32" | "INT64" | "UTF8"): Column {
  return [
    type === "UTF8"
      ? { name, type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" }
      : { name, type, repetition_type: "OPTIONAL" },
  ];
}

const answerColumns: readonly Column[] = [
  column("text", "UTF8"),
  [
    { name: "tokens", converted_type: "LIST", repetition_type: "OPTIONAL", num_children: 1 },
    { name: "list", repetition_type: "REPEATED", num_children: 1 },
    ...column("element", "INT32"),
  ],
  column("promptTokens", "INT32"),
  column("stopReason", "UTF8"),
  [{ name: "error", repetition_type: "OPTIONAL", num_children: 2 }, ...column("code", "UTF8"), ...column("message", "UTF8")],
];

/** Ids that are all texts or all whole numbers are a column of those; others are a column of JSON. */
type IdKind = "text" | "integer" | "json";

const idColumns = { text: column("id", "UTF8"), integer: column("id", "INT64"), json: column("id", "UTF8") };

/** null where no line has an id. */
async function idKindOf(journal: string): Promise<IdKind | null> {
  const kinds = new Set<IdKind>();
  for await (const [, line] of recordsOf(journal)) {
    const id = rawMember(line, "id");
    if (id !== undefined && id !== "null") kinds.add(kindOf(id));
  }
  const [kind = null] = kinds;
  return kinds.size > 1 ? "json" : kind;
}

function kindOf(id: string): IdKind {
  if (id.startsWith('"')) return "text";
  return /^-?\d{1,18}$/.test(id) ? "integer" : "json";
}

async function* rowsOf(journal: string, kind: IdKind | null): AsyncGenerator<Record<string, unknown>, void, void> {
  for await (const [{ index, error, ...answer }, line] of recordsOf(journal)) {
    yield { ...answer, index: BigInt(index), id: kind && idValue(rawMember(line, "id"), kind), error: error ?? null };
  }
}

function idValue(id: string | undefined, kind: IdKind): unknown {
  if (id === undefined || id === "null") return null;
  if (kind === "json") return id;
  return kind === "integer" ? BigInt(id) : JSON.parse(id);
}

async function* recordsOf(journal: string): AsyncGenerator<readonly [BatchRecord, string], void, void> {
  for await (const bytes of linesOf(createReadStream(journal), Infinity)) {
    const line = Buffer.from(required(bytes, "line")).toString("utf8");
    yield [required(parseRecord(line), "record"), line];
  }
}

/** A file that takes each row group when it is complete. */
class FileWriter extends ByteWriter {
  readonly #file: number;

  constructor(path: string) {
    super();
    this.#file = openSync(path, "w");
  }

  flush(): void {
    writeFileSync(this.#file, new Uint8Array(this.buffer, 0, this.index));
    this.index = 0;
  }

  override finish(): void {
    this.flush();
    fdatasyncSync(this.#file);
  }

  close(): void {
    closeSync(this.#file);
  }
}
