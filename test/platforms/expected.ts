/** What every platform must give: the graph interpreter's choices and bits, under the numeric contract. */
import { createHash } from "node:crypto";
import { argmax } from "../../runtime/index.ts";
import { contractInterpreter, interpretAll, openModel } from "../model/support.ts";
import type { Outcome } from "./platforms.ts";

/**
 * The outcome of `run.js` for a model that was compiled with default options into `artefact`, whose tokenizer reads a prompt that is text.
 * The ids are the artefact's own in this process, and those that the interpreter's logits choose; throws where they aren't.
 */
export async function expectedOutcome(
  model: string,
  artefact: string,
  prompt: string | readonly number[],
  count: number,
): Promise<Extract<Outcome, { readonly ids: unknown }>> {
  const opened = await openModel(artefact);
  const session = opened.createSession();
  const { text } = await session.complete(prompt, { maxTokens: count, temperature: 0, ignoreEos: true });
  const ids = [...session.tokens];
  await opened.dispose();
  const logits = interpretAll(await contractInterpreter(model, {}), ids);
  const chosen = logits.slice(-count - 1, -1).map(argmax);
  if (chosen.some((id, i) => id !== ids.at(i - count)))
    throw new Error(`the interpreter chooses ${chosen.join()}, not ${ids.slice(-count).join()}`);
  const hash = createHash("sha256");
  for (const row of logits) hash.update(new Uint8Array(row.buffer, row.byteOffset, row.byteLength));
  return { variant: opened.variant?.name ?? "", ids, text, logits: hash.digest("hex") };
}
