/**
 * Finds the first of several strings in a text that arrives in pieces, and lets out only what cannot belong to one of them. The first is
 * the one that is complete first, of those that end together the longest: so the pieces' borders do not matter.
 */

export class StopStrings {
  readonly #stops: readonly string[];
  #held = "";

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== "");
  }

  /** The text that is safe to show after `piece`, and whether a stop string has been met; if so, it ends before that string. */
  push(piece: string): { readonly text: string; readonly stopped: boolean } {
    const text = this.#held + piece;
    const found = this.#stops.map((stop) => ({ start: text.indexOf(stop), length: stop.length })).filter(({ start }) => start >= 0);
    const [first] = found.toSorted((a, b) => a.start + a.length - (b.start + b.length) || a.start - b.start);
    const cut = first ? first.start : text.length - this.#possibleStart(text);
    this.#held = text.slice(cut);
    return { text: text.slice(0, cut), stopped: first !== undefined };
  }

  /** What was held back and turned out to be no stop string. */
  flush(): string {
    const text = this.#held;
    this.#held = "";
    return text;
  }

  /** Length of the longest end of `text` with which a stop string begins. */
  #possibleStart(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      let length = Math.min(stop.length - 1, text.length);
      while (length > longest && !text.endsWith(stop.slice(0, length))) length--;
      longest = Math.max(longest, length);
    }
    return longest;
  }
}
