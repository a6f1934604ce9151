/** One token a forward pass: evaluates what is pending and picks from what the model computed after the last token, at temperature 0 or not. */
import { LfmcError } from "../errors.ts";
import type { Choice } from "../pick.ts";
import type { Decoder } from "./decoder.ts";

export const greedy: Decoder = ({ timeline, queue, pick, chunk }) => {
  return async () => {
    let choice: Choice | undefined;
    while (choice === undefined && timeline.pending > 0) {
      const [outcome] = await queue.step(timeline, chunk, 1);
      if (outcome) choice = pick(outcome, timeline.tokens);
    }
    if (choice === undefined)
      throw new LfmcError("run/input", "has no token to continue from", { subject: "session", hint: "Begin with at least one token." });
    timeline.append([choice.token]);
    return [choice];
  };
};
