/**
 * What came after the last few tokens, the last time they stood together: a pool of n-grams, each with its latest follower. Longer ones go before
 * shorter ones.
 */

/** Longest context that is looked up, in tokens. */
const longest = 3;

export class NGrams {
  readonly #followers = new Map<string, number>();

  /** Remembers what follows what in `tokens`, from the token at `start` on. */
  learn(tokens: readonly number[], start = 0): void {
    for (let at = Math.max(1, start); at < tokens.length; at++)
      for (let length = 1; length <= Math.min(longest, at); length++) this.#followers.set(key(tokens, at, length), tokens[at] ?? 0);
  }

  /**
   * At most `most` tokens that may come after `tokens`, one after the other what followed the longest known end of all before. It ends where no end
   * of at least `least` tokens is known.
   */
  follow(tokens: readonly number[], most: number, least = 1): readonly number[] {
    const text = tokens.slice(-longest);
    const start = text.length;
    while (text.length < start + most) {
      const next = this.#follower(text, least);
      if (next === undefined) break;
      text.push(next);
    }
    return text.slice(start);
  }

  #follower(tokens: readonly number[], least: number): number | undefined {
    for (let length = Math.min(longest, tokens.length); length >= least; length--) {
      const found = this.#followers.get(key(tokens, tokens.length, length));
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/** The `length` tokens before `end`. */
function key(tokens: readonly number[], end: number, length: number): string {
  return tokens.slice(end - length, end).join();
}
