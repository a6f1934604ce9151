/** Lines of a file of prompts, however its bytes arrive and whatever they are. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import fc from "fast-check";
import { expect, test } from "vitest";
import { openInput } from "../../compiler/batch/input.ts";
import { linesOf } from "../../compiler/batch/prompts-jsonl.ts";
import type { PromptLine } from "../../compiler/batch/prompt-line.ts";
import { rawMember } from "../../compiler/batch/raw-member.ts";
import { workFolder } from "../model/support.ts";

const folder = await workFolder();

/** The lines of bytes that arrive in pieces cut at `cuts`. */
async function arrived(bytes: Buffer, cuts: readonly number[], most: number): Promise<readonly (string | null)[]> {
  const borders = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  const pieces = borders.slice(1).map((end, i) => bytes.subarray(borders[i], end));
  const lines: (string | null)[] = [];
  for await (const line of linesOf(Readable.from(pieces), most)) lines.push(line && Buffer.from(line).toString());
  return lines;
}

test("lines are what lies between line feeds, however the bytes are cut; long ones are not held", async () => {
  const text = fc.string({ unit: fc.constantFrom("a", "\n", "\r", "\u2028", "é"), maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(text, fc.array(fc.nat(60)), fc.integer({ min: 1, max: 6 }), async (written, cuts, most) => {
      const expected = written.split("\n").map((line) => (Buffer.byteLength(line) > most ? null : line));
      if (written === "" || written.endsWith("\n")) expected.pop();
      expect(await arrived(Buffer.from(written), cuts, most)).toEqual(expected);
    }),
    { numRuns: 300 },
  );
});

test("a member comes back as it was written", () => {
  const space = fc.constantFrom("", " ", "\t");
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 4 }), fc.jsonValue(), space, fc.nat(), (others, id, gap, place) => {
      const { id: _, ...rest } = others;
      const members = Object.entries(rest).map(([key, value]) => `${JSON.stringify(key)}${gap}:${gap}${JSON.stringify(value)}`);
      const written = JSON.stringify(id, null, gap);
      members.splice(place % (members.length + 1), 0, `"i\\u0064"${gap}:${gap}${written}${gap}`);
      expect(rawMember(`{${members.join(`,${gap}`)}}`, "id")).toBe(written);
    }),
  );
  expect(rawMember('{"a":{"id":1},"b":["id",2],"c":"id"}', "id")).toBeUndefined();
  expect(rawMember('{"id":12345678901234567890}', "id")).toBe("12345678901234567890");
});

async function readLines(name: string, content: string | Uint8Array, first = 0): Promise<readonly PromptLine[]> {
  const path = join(folder, name);
  await writeFile(path, content);
  const input = await openInput(path);
  const lines: PromptLine[] = [];
  for await (const line of input.prompts(first)) lines.push(line);
  expect(lines.length).toBe(Math.max(0, input.lines - first));
  expect(lines.map(({ index }) => index)).toEqual(lines.map((_, i) => first + i));
  return lines;
}

test("objects and texts are prompts; CRLF, a byte order mark, a missing last line feed and U+2028 are no matter", async () => {
  const text = '\uFEFF{"prompt":"a\u2028b"}\r\n"c"\r\n{"id":[1],"tokens":[1]}';
  expect(await readLines("forms.jsonl", text)).toEqual([
    { index: 0, id: undefined, content: { fields: { prompt: "a\u2028b" } } },
    { index: 1, id: undefined, content: { fields: { prompt: "c" } } },
    { index: 2, id: "[1]", content: { fields: { id: [1], tokens: [1] } } },
  ]);
});

test("a line that is no prompt is a fault of its own", async () => {
  const long = `"${"a".repeat(16 * 2 ** 20)}"`;
  const deep = `{"prompt":${"[".repeat(100)}${"]".repeat(100)}}`;
  const bytes = Buffer.concat([
    ...["", " \r", "{", "5", "[1]", '{"a":1,"a":2}', deep, long].map((line) => Buffer.from(`${line}\n`)),
    Buffer.of(0x22, 0xff, 0x22, 10),
    Buffer.from('"good"\n'),
  ]);
  const lines = await readLines("faults.jsonl", bytes);
  expect(lines.map(({ content }) => ("error" in content ? content.error.message : content.fields))).toEqual([
    ...["line: is empty", "line: is empty", "line: is not JSON, or nested too deeply"],
    ...["line: is neither an object nor a text", "line: is neither an object nor a text", 'line: has the key "a" twice'],
    ...["line: is not JSON, or nested too deeply", "line: has more than 16777216 bytes", "line: is not UTF-8 text"],
    { prompt: "good" },
  ]);
});

test("lines before the first one asked for are passed over", async () => {
  expect((await readLines("later.jsonl", '"a"\n"b"\n"c"', 2)).map(({ content }) => content)).toEqual([{ fields: { prompt: "c" } }]);
  expect(await readLines("none.jsonl", "")).toEqual([]);
  expect(await readLines("empty-line.jsonl", "\n")).toHaveLength(1);
});

test("what is no file is refused: it could not be read again", async () => {
  await expect(openInput("/dev/null")).rejects.toMatchObject({ code: "io/unreadable" });
  await expect(openInput(join(folder, "absent.jsonl"))).rejects.toMatchObject({ code: "io/missing" });
});
