/**
 * Finds the calls in an answer that arrives in pieces. Text that cannot be the beginning of a call leaves at once; what looked like
 * calls and is none comes out as the text that it is. Where the pieces are cut does not matter, and the work is linear in the text's
 * length.
 */
import type { Tool, ToolCall } from "../messages.ts";
import type { Dialect } from "./dialect.ts";

/** A piece of an answer: text, or a call of a tool. */
export type ChatEvent =
  { readonly text: string; readonly toolCall?: undefined } | { readonly toolCall: ToolCall; readonly text?: undefined };

/** Longer ones are text: what is held back must end somewhere. */
export const longestCall = 2 ** 18;
/** Before a list without markers. */
const mostSpace = 256;

/** Outside of calls, at the beginning of the answer where a list without markers may stand, between markers, or in such a list. */
type State = "text" | "beginning" | "marked" | "bare";

/** Takes calls of tools out of an answer as it streams. */
export class ToolCallStream {
  readonly #dialect: Dialect;
  readonly #tools: readonly Tool[];
  readonly #bareNames: readonly string[];
  #state: State;
  /** What is held back: the beginning of a marker, or of calls; markers are part of it. */
  #held: string[] = [];
  #heldLength = 0;
  /** The end of what is held, shorter than a marker. */
  #tail = "";
  #list = new ListScanner();

  constructor(dialect: Dialect, tools: readonly Tool[]) {
    this.#dialect = dialect;
    this.#tools = tools;
    this.#bareNames = dialect.mayBeBare ? tools.map((tool) => `[${tool.function.name}(`) : [];
    this.#state = this.#bareNames.length > 0 ? "beginning" : "text";
  }

  /** What became certain with this piece. */
  push(piece: string): readonly ChatEvent[] {
    const events: ChatEvent[] = [];
    let rest = piece;
    while (rest !== "") rest = this.#take(rest, events);
    return joined(events);
  }

  /** What is left at the end of the answer: calls of which only the end marker is missing, or text. */
  flush(): readonly ChatEvent[] {
    const events: ChatEvent[] = [];
    this.#finish(events);
    return joined(events);
  }

  /** Takes a part of `rest` and returns what is left of it. */
  #take(rest: string, events: ChatEvent[]): string {
    switch (this.#state) {
      case "text":
        return this.#takeText(rest, events);
      case "beginning":
        return this.#takeBeginning(rest);
      case "marked":
        return this.#takeMarked(rest, events);
      case "bare":
        return this.#takeBare(rest, events);
    }
  }

  #takeText(rest: string, events: ChatEvent[]): string {
    const { start } = this.#dialect;
    const text = this.#unhold() + rest;
    const at = text.indexOf(start);
    if (at >= 0) {
      events.push({ text: text.slice(0, at) });
      this.#hold(start);
      this.#tail = "";
      this.#state = "marked";
      return text.slice(at + start.length);
    }
    const kept = commonEnd(text, start);
    events.push({ text: text.slice(0, text.length - kept) });
    if (kept > 0) this.#hold(text.slice(text.length - kept));
    return "";
  }

  /** Holds back what may become a list of calls without markers: space, and the beginning of one of the tools' calls. */
  #takeBeginning(rest: string): string {
    const text = this.#unhold() + rest;
    const list = text.trimStart();
    const found = this.#bareNames.find((name) => list.startsWith(name));
    if (found !== undefined) {
      this.#list = new ListScanner();
      this.#state = "bare";
      this.#hold(text.slice(0, text.length - list.length));
      return list;
    }
    const mayBecome = text.length - list.length <= mostSpace && this.#bareNames.some((name) => name.startsWith(list));
    if (mayBecome) {
      this.#hold(text);
      return "";
    }
    this.#state = "text";
    return text;
  }

  #takeMarked(rest: string, events: ChatEvent[]): string {
    const { end } = this.#dialect;
    const piece = rest.slice(0, longestCall - this.#heldLength);
    const text = this.#tail + piece;
    const at = text.indexOf(end);
    const taken = at >= 0 ? at + end.length - this.#tail.length : piece.length;
    this.#hold(piece.slice(0, taken));
    this.#tail = text.slice(1 - end.length);
    if (at >= 0 || this.#heldLength >= longestCall) this.#finish(events);
    return rest.slice(taken);
  }

  #takeBare(rest: string, events: ChatEvent[]): string {
    const piece = rest.slice(0, longestCall - this.#heldLength);
    const taken = this.#list.scan(piece);
    this.#hold(piece.slice(0, taken ?? piece.length));
    if (taken !== null || this.#heldLength >= longestCall) this.#finish(events);
    return rest.slice(taken ?? piece.length);
  }

  /** What is held is all of it: its calls, or its text. */
  #finish(events: ChatEvent[]): void {
    const text = this.#unhold();
    const calls = this.#state === "text" || this.#state === "beginning" ? null : this.#dialect.parse(this.#inside(text), this.#tools);
    this.#state = "text";
    events.push(...(calls?.map((toolCall) => ({ toolCall })) ?? [{ text }]));
  }

  #inside(text: string): string {
    const { start, end } = this.#dialect;
    if (this.#state === "bare") return text;
    return text.slice(start.length, text.endsWith(end) ? -end.length : undefined);
  }

  #hold(text: string): void {
    this.#held.push(text);
    this.#heldLength += text.length;
  }

  #unhold(): string {
    const text = this.#held.join("");
    this.#held = [];
    this.#heldLength = 0;
    return text;
  }
}

/** Finds the end of a list: the bracket that closes its first one, strings left out. */
class ListScanner {
  #depth = 0;
  #quote: string | null = null;
  #escaped = false;

  /** How much of `text` belongs to the list, null where all of it does and more is to come. */
  scan(text: string): number | null {
    for (let i = 0; i < text.length; i++) if (this.#ends(text.charAt(i))) return i + 1;
    return null;
  }

  #ends(character: string): boolean {
    if (this.#escaped) this.#escaped = false;
    else if (this.#quote !== null) {
      if (character === "\\") this.#escaped = true;
      else if (character === this.#quote) this.#quote = null;
    } else if (character === '"' || character === "'") this.#quote = character;
    else if ("[({".includes(character)) this.#depth++;
    else if ("])}".includes(character)) return --this.#depth === 0;
    return false;
  }
}

/** Length of the longest end of `text` with which `marker` begins, less than all of it. */
function commonEnd(text: string, marker: string): number {
  for (let length = Math.min(marker.length - 1, text.length); length > 0; length--)
    if (text.endsWith(marker.slice(0, length))) return length;
  return 0;
}

/** Texts that follow each other as one, empty ones left out. */
function joined(events: readonly ChatEvent[]): readonly ChatEvent[] {
  const result: ChatEvent[] = [];
  for (const event of events) {
    const last = result.at(-1);
    if (event.text === undefined) result.push(event);
    else if (last?.text !== undefined) result.splice(-1, 1, { text: last.text + event.text });
    else if (event.text !== "") result.push(event);
  }
  return result;
}
