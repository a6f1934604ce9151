/** One token a forward pass: evaluates what is pending and samples from the last token's logits, greedily or not. */
import { LfmcError } from "../errors.ts";
import type { Decoder } from "./decoder.ts";

export const greedy: Decoder = (timeline, sample, { chunk }) => {
  let token: number | undefined;
  while (token === undefined && timeline.pending > 0) {
    if (sample) token = timeline.step(chunk, "last").map((logits) => sample(logits, timeline.tokens))[0];
    else [token] = timeline.choose(chunk, "last");
  }
  if (token === undefined)
    throw new LfmcError("run/input", "has no token to continue from", { subject: "session", hint: "Begin with at least one token." });
  timeline.append([token]);
  return [token];
};
