/** Processes that build artefacts, one for each core: a compile keeps one core busy, and the next process has loaded the compiler once. */
import { fork, type ChildProcess } from "node:child_process";
import { availableParallelism } from "node:os";
import { extname } from "node:path";
import type { CompileOptions } from "../options.ts";
import type { Planned, Refused } from "./types.ts";

/** What to build; all that it takes is JSON. */
export type BuildJob = CompileOptions & { readonly output: string };

/** What was built. */
export interface Built extends Pick<Planned, "memoryBytes" | "cacheBytes"> {
  /** URL of a C artefact's library; null for a module. */
  readonly library: string | null;
  /** Of the module, or the library. */
  readonly moduleBytes: number;
  readonly buildSeconds: number;
}

/** What the process answers to a job. `fault` is one of the system's, or of lfmc's, that other jobs would meet too. */
export type BuildAnswer = Built | Refused | { readonly fault: string };

export interface Builders {
  /** Builds as many at once as there are processes. In the order of the jobs. Throws Error where a process meets a fault. */
  build(jobs: readonly BuildJob[]): Promise<readonly (Built | Refused)[]>;
  /** Ends the processes. */
  close(): void;
}

/** TypeScript where this file is run from source, JavaScript where it was built. */
const entry = new URL(`./builder-process${extname(import.meta.url)}`, import.meta.url);

/** Processes are started when they are first needed, and again where one has died. */
export function startBuilders(count = availableParallelism()): Builders {
  const running = new Map<number, ChildProcess>();
  const processOf = (index: number): ChildProcess => {
    const known = running.get(index);
    if (known) return known;
    const started = fork(entry, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    running.set(index, started);
    started.once("close", () => running.delete(index));
    return started;
  };
  return {
    build: async (jobs) => {
      const answers: (Built | Refused)[] = [];
      const waiting = [...jobs.entries()];
      const work = async (index: number): Promise<void> => {
        for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
          const [at, job] = next;
          const answer = await ask(processOf(index), job);
          if ("fault" in answer) throw new Error(answer.fault);
          answers[at] = answer;
        }
      };
      await Promise.all(Array.from({ length: count }, (_, index) => work(index)));
      return answers;
    },
    close: () => {
      for (const process of running.values()) process.kill();
    },
  };
}

/** Sends a job and waits for its answer; a process that ends instead, for want of memory or whatever, refuses it. */
function ask(builder: ChildProcess, job: BuildJob): Promise<BuildAnswer> {
  return new Promise((resolve) => {
    const answered = (answer: unknown): void => {
      builder.off("close", ended);
      if (isAnswer(answer)) resolve(answer);
    };
    const ended = (status: number | null, signal: string | null): void => {
      builder.off("message", answered);
      resolve({ refused: `the process that built it ended with ${signal ?? String(status)}` });
    };
    builder.once("message", answered).once("close", ended);
    builder.send(job);
  });
}

/** Only our own entry file answers. */
function isAnswer(value: unknown): value is BuildAnswer {
  return typeof value === "object" && value !== null;
}
