/** What is written aside must not stay there when the user, or the system, ends the process. */
import { constants } from "node:os";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Runs `work`; a signal that would end the process meanwhile calls `clean` first. */
export async function cleanedUp<Result>(clean: () => void, work: () => Promise<Result>): Promise<Result> {
  const interrupted = (signal: NodeJS.Signals): void => {
    try {
      clean();
    } finally {
      process.exit(128 + constants.signals[signal]);
    }
  };
  for (const signal of signals) process.once(signal, interrupted);
  try {
    return await work();
  } finally {
    for (const signal of signals) process.off(signal, interrupted);
  }
}
