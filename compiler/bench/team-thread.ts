/** A thread of a team, as an entry file: waits for a round, calls the kernel that it names, says that it is done. */
import { parentPort, workerData } from "node:worker_threads";
import { internal, required } from "../errors.ts";
import { moduleFunctions } from "./module-functions.ts";
import { argumentsOf, isSeat, stop, word, wordsOf } from "./team-seat.ts";

const seat: unknown = workerData;
if (!isSeat(seat)) internal("a thread without a seat");
const { block, index, module, memory, signatures } = seat;
const functions = moduleFunctions(module, memory, signatures);
const words = wordsOf(block);
parentPort?.postMessage("ready");

for (let round = 0; ; round++) {
  while (Atomics.load(words, word.round) === round) Atomics.wait(words, word.round, round);
  const kernel = Atomics.load(words, word.kernel);
  if (kernel === stop) break;
  try {
    const count = required(signatures[kernel], "kernel").isWide.length;
    required(functions[kernel], "kernel")(Array.from(argumentsOf(block, index, count)));
  } catch {
    Atomics.add(words, word.failed, 1);
  }
  if (Atomics.sub(words, word.busy, 1) === 1) Atomics.notify(words, word.busy);
}
