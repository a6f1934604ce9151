/** The worker that reads a Parquet table: answers each message with what comes next of `tablePrompts`. */
import { parentPort, workerData } from "node:worker_threads";
import { isSystemFault, LfmcError, required } from "../errors.ts";
import { tablePrompts } from "./parquet-table.ts";
import type { TableAnswer, TableQuestion } from "./prompts-parquet.ts";

const port = required(parentPort, "parent of the worker");
const { path, first } = workerData as TableQuestion;
const prompts = tablePrompts(path, first);
const rowsAnAnswer = 512;

port.on("message", () => {
  void answer().then((message) => {
    port.postMessage(message);
  });
});

async function answer(): Promise<TableAnswer> {
  try {
    const items: TableAnswer["items"] = [];
    while (items.length < rowsAnAnswer) {
      const next = await prompts.next();
      if (next.done) return { items, isLast: true };
      items.push(next.value);
    }
    return { items, isLast: false };
  } catch (error) {
    if (error instanceof LfmcError) return { items: [], isLast: true, error: { code: error.code, fact: factOf(error), hint: error.hint } };
    if (isSystemFault(error))
      return { items: [], isLast: true, error: { code: "io/unreadable", fact: error.message, hint: "check that it may be read" } };
    throw error;
  }
}

/** The message without the subject before it. */
function factOf({ message, subject }: LfmcError): string {
  return message.slice(subject.length + 2);
}
