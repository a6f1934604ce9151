/**
 * Threads that call the kernels of a module at once, over one shared memory. They are started once and wait between calls, so that starting
 * them is never measured; the thread that asks does its share too.
 */
import { once } from "node:events";
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import { internal, required } from "../errors.ts";
import type { KernelCall } from "../native/kernels.ts";
import { moduleFunctions } from "./module-functions.ts";
import { argumentsOf, newBlock, stop, word, wordsOf, type TeamSeat } from "./team-seat.ts";

export interface Team {
  /** Calls kernel `kernel` (its place among the signatures) once with each of `calls`, at most as many as there are threads; blocks until all are done. */
  call(kernel: number, calls: readonly KernelCall[]): void;
  /** Ends the threads. */
  close(): Promise<void>;
}

/** TypeScript where this file is run from source, JavaScript where it was built. */
const entry = new URL(`./team-thread${extname(import.meta.url)}`, import.meta.url);
const longestWait = 60_000;

/** Starts `threads` - 1 threads beside the calling one; resolves once all of them wait for work. */
export async function startTeam(threads: number, { module, memory, signatures }: Omit<TeamSeat, "block" | "index">): Promise<Team> {
  const block = newBlock(threads);
  const words = wordsOf(block);
  const functions = moduleFunctions(module, memory, signatures);
  const workers = Array.from({ length: threads - 1 }, (_, i) => {
    const seat: TeamSeat = { block, index: i + 1, module, memory, signatures };
    return new Worker(entry, { workerData: seat });
  });
  await Promise.all(workers.map((worker) => once(worker, "message")));
  // Whoever forgets them, or fails, may end without them.
  for (const worker of workers) worker.unref();

  const begin = (kernel: number): void => {
    Atomics.store(words, word.kernel, kernel);
    Atomics.store(words, word.busy, workers.length);
    Atomics.add(words, word.round, 1);
    Atomics.notify(words, word.round);
  };
  return {
    call(kernel, calls) {
      if (calls.length !== threads) internal(`${calls.length} calls for ${threads} threads`);
      calls.forEach((args, i) => {
        argumentsOf(block, i, args.length).set(args);
      });
      begin(kernel);
      required(functions[kernel], "kernel")(required(calls[0], "call"));
      for (let busy = Atomics.load(words, word.busy); busy > 0; busy = Atomics.load(words, word.busy)) {
        if (Atomics.wait(words, word.busy, busy, longestWait) === "timed-out") internal("a thread of the team does not come back");
      }
      if (Atomics.load(words, word.failed) > 0) internal("a kernel stopped in a thread of the team");
    },
    async close() {
      const ends = workers.map((worker) => {
        worker.ref();
        return once(worker, "exit");
      });
      begin(stop);
      await Promise.all(ends);
    },
  };
}
