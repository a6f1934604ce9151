/**
 * How a text that may be longer than a model's context is read: in windows that follow one another without overlap, each starting from an
 * empty session. Every window has the same first token in front, BOS, so every token of the text is predicted once; where the model knows
 * no BOS, a window's first token is only read.
 */

/**
 * Positions of a window at most. Fixed, so that figures of artefacts with different contexts can be compared; a smaller context makes
 * smaller windows.
 */
export const windowPositions = 2048;

/** Windows of at most `positions` tokens, at least 2, over `tokens`; in each, all tokens but the first are to be predicted. */
export function windowsOf(tokens: readonly number[], bos: number | null, positions: number): readonly (readonly number[])[] {
  const front = bos === null ? [] : [bos];
  const step = positions - front.length;
  const windows = Array.from({ length: Math.ceil(tokens.length / step) }, (_, i) => [...front, ...tokens.slice(i * step, (i + 1) * step)]);
  return windows.filter(({ length }) => length > 1);
}
