/** Tables of prompts and of completions. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { parquetWriteBuffer, type SchemaElement } from "hyparquet-writer";
import { expect, test } from "vitest";
import { openInput } from "../../compiler/batch/input.ts";
import { writeParquet } from "../../compiler/batch/output-parquet.ts";
import { tableItems } from "../../compiler/batch/prompts-parquet.ts";
import { completionLine, errorLine } from "../../compiler/batch/record.ts";
import { LfmcError } from "../../compiler/errors.ts";
import { record } from "../cli/support.ts";
import { workFolder } from "../model/support.ts";
import { batch, linesIn } from "./support.ts";

const folder = await workFolder();

type Columns = Parameters<typeof parquetWriteBuffer>[0]["columnData"];

async function table(name: string, columnData: Columns, rowGroupSize = 2): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, new Uint8Array(parquetWriteBuffer({ columnData, rowGroupSize })));
  return path;
}

test("rows are prompts, group by group; nulls are as good as nothing, and whole numbers of 64 bits stay whole", async () => {
  const big = 2n ** 53n + 1n;
  const path = await table("rows.parquet", [
    { name: "id", data: [big, null, 3n, 4n, 5n], type: "INT64" },
    { name: "prompt", data: ["a", null, "c\u2028", "d", "e"], type: "STRING" },
    { name: "tokens", data: [null, [1, 2], null, null, null] },
    { name: "seed", data: [1n, null, null, null, null], type: "INT64" },
    { name: "unknown", data: ["x", "x", "x", "x", "x"] },
  ]);
  const input = await openInput(path);
  expect(input.lines).toBe(5);
  const rows = [];
  for await (const row of input.prompts(0)) rows.push(row);
  expect(rows.map(({ index, id }) => [index, id])).toEqual([
    ...[
      [0, "9007199254740993"],
      [1, undefined],
    ],
    ...[
      [2, "3"],
      [3, "4"],
      [4, "5"],
    ],
  ]);
  expect(rows.slice(0, 2).map(({ content }) => content)).toEqual([
    { fields: { prompt: "a", tokens: null, seed: 1 } },
    { fields: { prompt: null, tokens: [1, 2], seed: null } },
  ]);
  const later = [];
  for await (const row of input.prompts(3)) later.push(row);
  expect(later).toEqual(rows.slice(3));
});

test("ids of any kind come back: whole numbers inside others with all digits, times that no date of ours can be as null", async () => {
  const optional = { repetition_type: "OPTIONAL" } as const;
  const idsOf = async (id: unknown[], ...schema: readonly SchemaElement[]): Promise<readonly unknown[]> => {
    const path = join(folder, "ids.parquet");
    const columnData: Columns = [
      { name: "prompt", data: id.map(() => "a") },
      { name: "id", data: id },
    ];
    const root = { name: "root", num_children: 2 };
    const text: SchemaElement = { name: "prompt", type: "BYTE_ARRAY", converted_type: "UTF8", ...optional };
    await writeFile(path, new Uint8Array(parquetWriteBuffer({ columnData, schema: [root, text, ...schema] })));
    const found = [];
    for await (const row of (await openInput(path)).prompts(0)) found.push(row.id);
    return found;
  };
  const big = 2n ** 60n + 1n;
  const list = { name: "id", converted_type: "LIST", num_children: 1, ...optional } as const;
  const repeated = { name: "list", repetition_type: "REPEATED", num_children: 1 } as const;
  const whole = { name: "element", type: "INT64", ...optional } as const;
  expect(await idsOf([[big, 2n], [], null], list, repeated, whole)).toEqual([`[${big},2]`, "[]", undefined]);
  const struct = { name: "id", num_children: 2, ...optional };
  const members = [{ ...whole, name: "a" }, { name: "b", type: "DOUBLE", ...optional } as const];
  expect(await idsOf([{ a: -big, b: 1.5 }, { a: 3n }], struct, ...members)).toEqual([`{"a":${-big},"b":1.5}`, '{"a":3}']);
  const day = { name: "id", type: "INT32", converted_type: "DATE", ...optional } as const;
  expect(await idsOf([0, 2 ** 31 - 1], day)).toEqual(['"1970-01-01T00:00:00.000Z"', "null"]);
});

test("what comes out is what the journal's lines say", async () => {
  const text = fc.string({ unit: "grapheme" });
  const answer = fc.record({
    text,
    tokens: fc.array(fc.nat(65535), { maxLength: 5 }),
    stopReason: fc.constantFrom("eos" as const, "length" as const),
  });
  const error = fc.record({ code: fc.constant("run/input"), message: text });
  const ids = fc.constantFrom<fc.Arbitrary<unknown>>(fc.maxSafeInteger(), text, fc.jsonValue(), fc.constant(undefined));
  const rows = ids.chain((id) =>
    fc.array(fc.record({ id: fc.option(id, { nil: undefined }), outcome: fc.oneof(answer, error) }), { maxLength: 8 }),
  );
  await fc.assert(
    fc.asyncProperty(rows, async (all) => {
      const [journal, path] = [join(folder, "journal"), join(folder, "out.parquet")];
      const lines = all.map(({ id, outcome }, index) => {
        const written = id === undefined ? undefined : JSON.stringify(id);
        return "code" in outcome ? errorLine(index, written, outcome) : completionLine(index, written, outcome, 7);
      });
      await writeFile(journal, lines.map((line) => `${line}\n`).join(""));
      await writeParquet(journal, path);
      const given = all.map(({ id }) => id).filter((id) => id !== undefined && id !== null);
      const isOfOne = ["string", "number"].some((type) =>
        given.every((id) => (type === "number" ? /^-?\d{1,18}$/.test(JSON.stringify(id)) : typeof id === type)),
      );
      const found = await parquetReadObjects({ file: await asyncBufferFromFile(path) });
      expect(found).toEqual(
        all.map(({ id, outcome }, index) => ({
          ...("code" in outcome
            ? { text: null, tokens: null, promptTokens: null, stopReason: null, error: outcome }
            : { ...outcome, promptTokens: 7, error: null }),
          index: BigInt(index),
          ...(given.length > 0 && {
            id:
              id === undefined || id === null
                ? null
                : isOfOne
                  ? typeof id === "number"
                    ? BigInt(JSON.stringify(id))
                    : id
                  : JSON.stringify(id),
          }),
        })),
      );
    }),
    { numRuns: 60 },
  );
});

test("a batch from table to table gives what it gives in lines, and the same bytes again", async () => {
  const data = Array.from({ length: 7 }, (_, i) => [1, 5 + i]);
  const input = await table("prompts.parquet", [{ name: "tokens", data }]);
  const place = (name: string): string => join(folder, name);
  for (const name of ["a.parquet", "b.PARQUET", "c.jsonl"]) await batch({ input, output: place(name) });
  expect(Buffer.compare(await readFile(place("a.parquet")), await readFile(place("b.PARQUET")))).toBe(0);
  const rows = await parquetReadObjects({ file: await asyncBufferFromFile(place("a.parquet")) });
  const lines = (await linesIn(place("c.jsonl"))).map((line) => record(JSON.parse(line)));
  expect(rows).toEqual(lines.map((line) => ({ ...line, index: BigInt(Number(line.index)), error: null })));
});

/** How many rows a file gives, or the error that it is refused with; anything else fails the test. */
async function rowsOrRefusal(path: string, milliseconds = 20_000): Promise<number | string> {
  try {
    const items = [];
    for await (const item of tableItems(path, 0, milliseconds)) items.push(item);
    return items.length - 1;
  } catch (error) {
    if (error instanceof LfmcError) return error.message.slice(path.length + 2).replace(/ \(.*/, "");
    throw error;
  }
}

test("a table that is damaged, cut, or has no prompts is refused, and nothing else happens", async () => {
  const whole = await table("whole.parquet", [
    { name: "prompt", data: ["a", "b", "c"], type: "STRING" },
    { name: "tokens", data: [null, [1, 2], null] },
  ]);
  const bytes = await readFile(whole);
  const path = join(folder, "damaged.parquet");
  const damagedTo = async (change: (bytes: Buffer) => Uint8Array, milliseconds?: number): Promise<number | string> => {
    await writeFile(path, change(Buffer.from(bytes)));
    return await rowsOrRefusal(path, milliseconds);
  };
  for (const length of [0, 8, bytes.length - 1]) {
    expect(await damagedTo((all) => all.subarray(0, length))).toBe("cannot be read as a Parquet table");
  }
  // A page's length: the package reads that page for ever.
  expect(await damagedTo((all) => all.fill(0, 11, 12), 500)).toMatch(/^was not read in/);
  expect(await rowsOrRefusal(await table("other.parquet", [{ name: "text", data: ["a"] }]))).toMatch(/^has none of the columns/);
  const places = fc.array(fc.record({ at: fc.nat(bytes.length - 1), to: fc.nat(255) }), { minLength: 1, maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(places, async (changes) => {
      const result = await damagedTo((all) => {
        for (const { at, to } of changes) all[at] = to;
        return all;
      }, 500);
      expect(typeof result === "number" || /^(cannot be read|was not read in|has none of)/.test(result)).toBe(true);
    }),
    { numRuns: 3 },
  );
  expect(await rowsOrRefusal(whole)).toBe(3);
});
