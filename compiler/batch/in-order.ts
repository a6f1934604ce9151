/** Lines come in any order and leave in that of their indices; who makes them may not run far ahead of those that have left. */

export class InOrder {
  readonly #leave: (line: string) => void;
  readonly #ahead: number;
  readonly #early = new Map<number, string>();
  #next: number;
  #moved: () => void = () => undefined;

  /** `first` leaves first; those from `first + ahead` on may not be begun before it has. */
  constructor(first: number, ahead: number, leave: (line: string) => void) {
    this.#next = first;
    this.#ahead = ahead;
    this.#leave = leave;
  }

  /** The index of the line that leaves next. */
  get next(): number {
    return this.#next;
  }

  /** Resolves when the line of this index may be begun. One caller waits at a time. */
  async room(index: number): Promise<void> {
    while (index - this.#next >= this.#ahead) {
      await new Promise<void>((resolve) => {
        this.#moved = resolve;
      });
    }
  }

  /** Takes a line, each index once; it and those that waited for it leave. */
  put(index: number, line: string): void {
    this.#early.set(index, line);
    for (let found = this.#early.get(this.#next); found !== undefined; found = this.#early.get(this.#next)) {
      this.#early.delete(this.#next++);
      this.#leave(found);
    }
    this.#moved();
  }
}
