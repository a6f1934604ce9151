/** A seeded generator, so that every case has the same data in every run and on every machine. */

export interface Random {
  /** In [0, 1). */
  readonly unit: () => number;
  /** An integer, 0 <= n < limit. */
  readonly below: (limit: number) => number;
  /** One of the choices. */
  readonly pick: <T>(choices: readonly T[]) => T;
}

/** mulberry32 over the text's FNV-1a hash. */
export function seededBy(text: string): Random {
  let state = 0x811c9dc5;
  for (const character of text) state = Math.imul(state ^ (character.codePointAt(0) ?? 0), 0x01000193);
  const unit = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x = (x + Math.imul(x ^ (x >>> 7), x | 61)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number): number => Math.floor(unit() * limit);
  const pick = <T>(choices: readonly T[]): T => {
    const choice = choices[below(choices.length)];
    if (choice === undefined) throw new Error("nothing to pick from");
    return choice;
  };
  return { unit, below, pick };
}
