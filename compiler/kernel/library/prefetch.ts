/**
 * Asking for weights before their turn. A processor fetches ahead of itself only as far as its window of instructions goes, and its own
 * prefetchers stop at the end of a page: decoding, which reads each weight once, would wait for memory half of its time.
 */
import type { Index, KernelBuilder } from "../builder.ts";
import type { Value } from "../ir.ts";

const lineBytes = 64;
/** A page: some hundred nanoseconds of decoding. */
const distance = 4096;

/** Asks for the lines of `bytes` bytes, a page further than pointer + index, of a run of memory that is read in rising order. */
export function prefetchAhead(b: KernelBuilder, pointer: Value, index: Index, bytes: number): void {
  prefetchLines(b, pointer, index, { distance, bytes });
}

/** Asks for the lines of `bytes` bytes, `distance` bytes further than pointer + index. */
export function prefetchLines(
  b: KernelBuilder,
  pointer: Value,
  index: Index,
  { distance, bytes }: { readonly distance: number; readonly bytes: number },
): void {
  for (let line = 0; line < bytes; line += lineBytes) b.prefetch(pointer, index, distance + line);
}
