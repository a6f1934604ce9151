/** Tokens in the order of their logits: the higher logit first, ties to the lower id. */

/** Ids by rank, the first `limit` of them (0: all). */
export function ranked(scores: Float32Array, limit: number): Uint32Array {
  const keys = limit > 0 && limit < scores.length ? largestKeys(scores, limit) : firstKeys(scores, scores.length);
  keys.sort();
  const ids = new Uint32Array(keys.length);
  for (let i = 0; i < ids.length; i++) ids[i] = idOfKey(keys[keys.length - 1 - i] ?? 0);
  return ids;
}

function firstKeys(scores: Float32Array, count: number): Float64Array {
  const keys = new Float64Array(count);
  for (let i = 0; i < count; i++) keys[i] = key(scores[i] ?? 0, i);
  return keys;
}

const idSpan = 2 ** 21;
const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

/** One number whose order is the rank: the logit's bits made monotone, then the id counted down; exact below 2^53. */
function key(score: number, id: number): number {
  float[0] = score + 0;
  const word = bits[0] ?? 0;
  const monotone = word >>> 31 ? ~word >>> 0 : word + 2 ** 31;
  return monotone * idSpan + (idSpan - 1 - id);
}

function idOfKey(value: number): number {
  return idSpan - 1 - (value % idSpan);
}

/** The `limit` largest keys, in heap order: one pass with a binary heap whose root is the smallest kept. */
function largestKeys(scores: Float32Array, limit: number): Float64Array {
  const heap = firstKeys(scores, limit).sort();
  let floor = scores[idOfKey(heap[0] ?? 0)] ?? -Infinity;
  for (let id = limit; id < scores.length; id++) {
    const score = scores[id] ?? -Infinity;
    // A tie loses to the lower id, which is in the heap already.
    if (!(score > floor)) continue;
    siftDown(heap, key(score, id));
    floor = scores[idOfKey(heap[0] ?? 0)] ?? -Infinity;
  }
  return heap;
}

/** Replaces the root by `value` and restores the heap. */
function siftDown(heap: Float64Array, value: number): void {
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if ((heap[child + 1] ?? Infinity) < (heap[child] ?? Infinity)) child++;
    const next = heap[child] ?? Infinity;
    if (next >= value) break;
    heap[at] = next;
    at = child;
  }
  heap[at] = value;
}
