/**
 * What a thread of a team gets to start with, and the block of shared memory through which it is told what to call: a few words, then the
 * arguments of each thread's call.
 */
import { internal } from "../errors.ts";
import type { KernelSignature } from "./module-functions.ts";

/** Places of the block's words. `round` counts the calls, `busy` the threads that have not done theirs, `failed` those that never will. */
export const word = { round: 0, busy: 1, failed: 2, kernel: 3 } as const;
/** In place of a kernel's index: the thread is to end. */
export const stop = -1;
const wordCount = 4;
const mostArguments = 32;

export interface TeamSeat {
  readonly block: SharedArrayBuffer;
  /** Which arguments of the block are its own. */
  readonly index: number;
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly signatures: readonly KernelSignature[];
}

/** The block of a team of `threads`, all zeros. */
export function newBlock(threads: number): SharedArrayBuffer {
  return new SharedArrayBuffer((wordCount + threads * mostArguments) * Float64Array.BYTES_PER_ELEMENT);
}

/** The block's words. */
export function wordsOf(block: SharedArrayBuffer): Int32Array {
  return new Int32Array(block, 0, wordCount);
}

/** The arguments of thread `index`; reading and writing are ordered by the block's words. */
export function argumentsOf(block: SharedArrayBuffer, index: number, count: number): Float64Array {
  if (count > mostArguments) internal(`a kernel with ${count} arguments`);
  return new Float64Array(block, (wordCount + index * mostArguments) * Float64Array.BYTES_PER_ELEMENT, count);
}

/** Whether a message is a seat. */
export function isSeat(value: unknown): value is TeamSeat {
  if (typeof value !== "object" || value === null) return false;
  const seat = new Map<string, unknown>(Object.entries(value));
  return seat.get("module") instanceof WebAssembly.Module && seat.get("block") instanceof SharedArrayBuffer;
}
