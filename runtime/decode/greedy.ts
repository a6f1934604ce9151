/** One token a forward pass: evaluates what is pending and samples from the last token's logits, greedily or not. */
import { LfmcError } from "../errors.ts";
import type { Decoder } from "./decoder.ts";

export const greedy: Decoder = (timeline, sample, { chunk }) => {
  let [logits] = timeline.step(chunk, "last");
  while (!logits && timeline.pending > 0) [logits] = timeline.step(chunk, "last");
  if (!logits)
    throw new LfmcError("run/input", "has no token to continue from", { subject: "session", hint: "Begin with at least one token." });
  const token = sample(logits, timeline.tokens);
  timeline.append([token]);
  return [token];
};
