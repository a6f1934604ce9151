/** One token a forward pass: evaluates what is pending and picks from what the model computed after the last token, at temperature 0 or not. */
import type { Choice } from "../pick.ts";
import type { Decoder } from "./decoder.ts";

export const greedy: Decoder = ({ timeline, queue, pick, chunk }) => {
  return async () => {
    let choice: Choice | undefined;
    while (choice === undefined) {
      const [outcome] = await queue.step(timeline, chunk, 1);
      if (outcome) choice = pick(outcome, timeline.tokens);
    }
    timeline.append([choice.token]);
    return [choice];
  };
};
