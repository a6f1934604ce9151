/** Names inside one C function: none twice in scope, none that C or its headers have taken. */

const reserved = new Set(
  (
    "auto break case char const continue default do double else enum extern float for goto if inline int long register restrict return short " +
    "signed sizeof static struct switch typedef union unsigned void volatile while memcpy memset main fabsf sqrtf memory weights_ scratch " +
    "INFINITY INT32_MIN asm typeof small near far"
  ).split(" "),
);

/** A kernel's name as a C function's. */
export function functionSymbol(kernel: string): string {
  return reserved.has(kernel) ? `${kernel}_kernel` : kernel;
}

export class Names {
  readonly #taken: Set<string>;
  readonly #counts = new Map<string, number>();

  constructor(taken: readonly string[]) {
    this.#taken = new Set(taken);
  }

  /** `stem`, or `stem2`, `stem3`, … where that is taken. */
  fresh(stem: string): string {
    let name = reserved.has(stem) ? `${stem}_` : stem;
    for (let i = 2; this.#taken.has(name); i++) name = `${stem}${i}`;
    this.#taken.add(name);
    return name;
  }

  /** `stem0`, `stem1`, …: for values, of which there are many. */
  numbered(stem: string): string {
    for (;;) {
      const count = this.#counts.get(stem) ?? 0;
      this.#counts.set(stem, count + 1);
      const name = `${stem}${count}`;
      if (this.#taken.has(name)) continue;
      this.#taken.add(name);
      return name;
    }
  }

  /** The name's scope has ended. */
  release(name: string): void {
    this.#taken.delete(name);
  }
}
