/**
 * Bytes of tokens to text, as they come: only whole characters leave, however the tokens cut them. The text does not depend on how
 * it was cut up: all that was pushed, then flushed, is what the bytes decode to at once.
 */

/** What one token stands for: bytes of UTF-8 that may begin or end inside a character. */
export type TokenBytes = (token: number) => Uint8Array;

/** Whole characters from tokens that come one by one: a character may be spread over several. */
export class TextStream {
  readonly #bytesOf: TokenBytes;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  constructor(bytesOf: TokenBytes) {
    this.#bytesOf = bytesOf;
  }

  /** The characters that `token` completes; an incomplete one is kept back. */
  push(token: number): string {
    return this.#decoder.decode(this.#bytesOf(token), { stream: true });
  }

  /** What was kept back, as U+FFFD: the text ends inside a character. */
  flush(): string {
    return this.#decoder.decode();
  }
}
