/** Prompts from JSON lines, read as they are needed: a file of any size takes the memory of its longest lines. */
import { isJsonObject, parseJson } from "../../runtime/json.ts";
import { repeatedKey } from "../import/json.ts";
import { lineError, type PromptLine } from "./prompt-line.ts";
import { rawMember } from "./raw-member.ts";

/** Longer lines are not held: nobody's prompt is so long. */
const longestLineBytes = 16 * 2 ** 20;
const lineFeed = 10;

/** The lines of a file's bytes from `first` on. Throws what reading them does. */
export async function* jsonlPrompts(chunks: AsyncIterable<Uint8Array>, first: number): AsyncGenerator<PromptLine, void, void> {
  let index = 0;
  for await (const bytes of linesOf(chunks)) {
    if (index >= first) yield parseLine(index, bytes);
    index++;
  }
}

/**
 * What lies between line feeds, and behind the last one where that is not the end; null for a line of more than `most` bytes. However the
 * bytes arrive, the lines are the same.
 */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array>,
  most: number = longestLineBytes,
): AsyncGenerator<Uint8Array | null, void, void> {
  let held: Uint8Array[] = [];
  let length = 0;
  const hold = (piece: Uint8Array): void => {
    length += piece.length;
    if (length > most) held = [];
    else if (piece.length > 0) held.push(piece);
  };
  const take = (): Uint8Array | null => {
    const [only, ...others] = held;
    const line = length > most ? null : only && others.length === 0 ? only : Buffer.concat(held);
    held = [];
    length = 0;
    return line;
  };
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, start)) {
      hold(chunk.subarray(start, end));
      yield take();
      start = end + 1;
    }
    hold(chunk.subarray(start));
  }
  if (length > 0) yield take();
}

function parseLine(index: number, bytes: Uint8Array | null): PromptLine {
  const fault = (fact: string, id?: string): PromptLine => ({ index, id, content: { error: lineError(fact) } });
  if (bytes === null) return fault(`has more than ${longestLineBytes} bytes`);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return fault("is not UTF-8 text");
  }
  if (text.trim() === "") return fault("is empty");
  const value = parseJson(text);
  if (value === undefined) return fault("is not JSON, or nested too deeply");
  if (typeof value === "string") return { index, id: undefined, content: { fields: { prompt: value } } };
  if (!isJsonObject(value)) return fault("is neither an object nor a text");
  const repeated = repeatedKey(text);
  if (repeated !== null) return fault(`has the key ${JSON.stringify(repeated.slice(0, 60))} twice`);
  return { index, id: Object.hasOwn(value, "id") ? rawMember(text, "id") : undefined, content: { fields: value } };
}
