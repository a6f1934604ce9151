/** Prompts as token ids. */

/** The prompt whose first token is waited for, in tokens. */
export const firstPrompt = 16;

/** Deterministic ids of the whole vocabulary, so that the embedding's rows are in no cache. */
export function promptTokens(count: number, vocabSize: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => (Math.imul(i + 1, 0x9e3779b1) >>> 0) % vocabSize);
}
