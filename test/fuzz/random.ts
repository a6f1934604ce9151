/** Random numbers that a seed fixes, on every machine and in every process. */

export interface Random {
  /** A whole number from 0 to 2^32 - 1. */
  word(): number;
  /** A whole number from 0 to count - 1. */
  below(count: number): number;
  /** True `one` times in `of`. */
  chance(one: number, of: number): boolean;
  /** One of the list, which has some. */
  pick<Item>(list: readonly Item[]): Item;
  /** One of `make`, and what it makes. */
  one<Result>(...make: readonly (() => Result)[]): Result;
  /** From 1 up, each further one half as likely. */
  few(): number;
}

/** The numbers that these words fix: sfc32, after a few rounds that mix the words. */
export function randomOf(...seeds: readonly number[]): Random {
  let [a, b, c, d] = [0x9e3779b9, 0x243f6a88, 0xb7e15162, 1];
  const word = (): number => {
    const sum = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return sum >>> 0;
  };
  for (const seed of seeds) {
    a ^= seed | 0;
    b ^= Math.imul(seed, 0x85ebca6b);
    for (let round = 0; round < 12; round++) word();
  }
  const below = (count: number): number => word() % count;
  const pick = <Item>(list: readonly Item[]): Item => {
    const [item] = list.slice(below(list.length));
    if (item === undefined && list.length === 0) throw new Error("nothing to pick from");
    return item as Item;
  };
  return {
    word,
    below,
    pick,
    chance: (one, of) => below(of) < one,
    one: (...make) => pick(make)(),
    few() {
      let count = 1;
      while (count < 16 && below(2) === 0) count++;
      return count;
    },
  };
}
