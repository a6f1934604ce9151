/** What is written aside must not stay there when the user, or the system, ends the process. */
import { constants } from "node:os";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Runs `work`; a signal that would end the process meanwhile calls `clean` first, and that of every other work that is under way. */
export async function cleanedUp<Result>(clean: () => void, work: () => Promise<Result>): Promise<Result> {
  const interrupted = (signal: NodeJS.Signals): void => {
    process.exit(128 + constants.signals[signal]);
  };
  const exited = (): void => {
    try {
      clean();
    } catch {
      // The process ends all the same, and the others must have their turn.
    }
  };
  for (const signal of signals) process.once(signal, interrupted);
  process.once("exit", exited);
  try {
    return await work();
  } finally {
    process.off("exit", exited);
    for (const signal of signals) process.off(signal, interrupted);
  }
}
