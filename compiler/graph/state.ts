/**
 * What the stateful ops keep of each session between calls: per (op, slot, name) one row of numbers a position, written where the
 * row's position says. Nothing is ever cleared: a row reads only positions up to its own, and those were written by its own past.
 */
import { LfmcError } from "../errors.ts";
import type { Row } from "./types.ts";

/** Rows of `width` numbers, by position. Grows as positions are written. */
export class History {
  readonly width: number;
  /** [positions, width]; only rows below the session's length hold its past. */
  data: Float32Array;

  constructor(width: number) {
    this.width = width;
    this.data = new Float32Array(64 * width);
  }

  /** Stores the row of one position. */
  write(position: number, row: Float32Array): void {
    if ((position + 1) * this.width > this.data.length) {
      const grown = new Float32Array(2 * (position + 1) * this.width);
      grown.set(this.data);
      this.data = grown;
    }
    this.data.set(row, position * this.width);
  }
}

/** The state of all sessions of one interpreter. */
export class SessionState {
  readonly #histories = new Map<string, History>();
  readonly #lengths = new Map<number, number>();

  /** The history `name` of the op whose `state` attribute is `state`, in `slot`; made on first use. */
  history(state: number, slot: number, name: string, width: number): History {
    const found = this.find(state, slot, name);
    if (found) return found;
    const made = new History(width);
    this.#histories.set(historyKey(state, slot, name), made);
    return made;
  }

  /** The same, where it exists. */
  find(state: number, slot: number, name: string): History | undefined {
    return this.#histories.get(historyKey(state, slot, name));
  }

  /** Positions a slot holds. */
  length(slot: number): number {
    return this.#lengths.get(slot) ?? 0;
  }

  /**
   * Takes the rows of a call into account. A session's first row may stand anywhere up to its length, which rewinds it to there
   * (position 0 starts anew); its further rows must follow one by one. Throws run/input and changes nothing otherwise.
   */
  advance(rows: readonly Row[]): void {
    const lengths = new Map<number, number>();
    rows.forEach(({ slot, position }, index) => {
      const subject = `row ${index}`;
      if (!isIndex(slot) || !isIndex(position))
        throw new LfmcError("run/input", "slot and position must be integers from 0", { subject, hint: "correct the row" });
      const seen = lengths.get(slot);
      const fits = seen === undefined ? position <= this.length(slot) : position === seen;
      if (!fits) {
        const length = seen ?? this.length(slot);
        throw new LfmcError("run/input", `position ${position} of slot ${slot}, which holds ${length}`, {
          subject,
          hint: "rows of one session follow one another; a call may begin at any position up to the session's length",
        });
      }
      lengths.set(slot, position + 1);
    });
    for (const [slot, length] of lengths) this.#lengths.set(slot, length);
  }
}

function historyKey(state: number, slot: number, name: string): string {
  return `${state}/${slot}/${name}`;
}

function isIndex(value: number): boolean {
  return Number.isInteger(value) && value >= 0;
}
