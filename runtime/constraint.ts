/**
 * Which tokens may come next: a grammar, a schema, a choice of words. Masks are applied to the logits, so that every way to sample obeys.
 */
import { LfmcError } from "./errors.ts";

/**
 * Given the tokens generated so far (end tokens never among them), the tokens that may come next, one bit each: token t is bit t & 31 of
 * word t >> 5. null where all may. A pure function of its argument: parallel decoding asks about guesses, and goes back.
 */
export type Constraint = (generated: readonly number[]) => Uint32Array | null;

/** A copy of `logits` in which what the mask leaves out is -Infinity; throws `run/input` where it leaves out all. */
export function masked(logits: Float32Array, mask: Uint32Array): Float32Array {
  const scores = new Float32Array(logits.length).fill(-Infinity);
  let any = false;
  for (let at = 0; at < mask.length; at++) {
    // Most words are empty: most constraints allow few tokens.
    for (let word = mask[at] ?? 0; word !== 0; word &= word - 1) {
      const token = at * 32 + 31 - Math.clz32(word & -word);
      if (token >= logits.length) break;
      scores[token] = logits[token] ?? -Infinity;
      any = true;
    }
  }
  if (any) return scores;
  throw new LfmcError("run/input", "allows no token", { subject: "constrain", hint: "Allow an end token where nothing else can come." });
}
