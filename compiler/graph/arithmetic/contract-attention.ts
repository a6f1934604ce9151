/**
 * Attention under the contract: positions fall into blocks of 64 absolute positions, so that a block's result depends on nothing
 * but the positions in it; the results of the blocks are merged in rising order.
 */
import { exp } from "../../numeric/exp.ts";
import { fold16 } from "../../numeric/fold16.ts";
import type { AttentionHead } from "./arithmetic.ts";

const f = Math.fround;

/** Positions that share one block. */
export const attentionBlock = 64;

/** Maximum, sum of exponentials and weighed values of the blocks merged so far. */
interface Partial {
  readonly max: number;
  readonly sum: number;
  readonly values: Float32Array;
}

/** `Attend` under the contract. */
export function contractAttend(head: AttentionHead, out: Float32Array): void {
  let merged: Partial | undefined;
  for (let block = Math.floor(head.first / attentionBlock); block * attentionBlock <= head.last; block++) {
    const partial = attendBlock(head, block * attentionBlock);
    merged = merged ? merge(merged, partial) : partial;
  }
  if (!merged) return;
  const { sum, values } = merged;
  for (let d = 0; d < values.length; d++) out[d] = (values[d] ?? 0) / sum;
}

/** The block that starts at position `start`; at least one of its positions is between `first` and `last`. */
function attendBlock(head: AttentionHead, start: number): Partial {
  const { query, keys, values, width, offset, scale } = head;
  const from = Math.max(head.first, start);
  const to = Math.min(head.last, start + attentionBlock - 1);
  const slots = new Float32Array(attentionBlock);
  let max = -Infinity;
  for (let position = from; position <= to; position++) {
    let dot = 0;
    for (let d = 0; d < query.length; d++) dot = f(dot + f((query[d] ?? 0) * (keys[position * width + offset + d] ?? 0)));
    const score = f(dot * scale);
    slots[position - start] = score;
    max = Math.max(max, score);
  }
  const weighed = new Float32Array(query.length);
  for (let position = from; position <= to; position++) {
    const p = exp(f((slots[position - start] ?? 0) - max));
    slots[position - start] = p;
    for (let d = 0; d < weighed.length; d++) {
      weighed[d] = f((weighed[d] ?? 0) + f(p * (values[position * width + offset + d] ?? 0)));
    }
  }
  // Masked slots are still +0: they take part in the fold and change nothing.
  return { max, sum: fold16(attentionBlock, (slot) => slots[slot] ?? 0), values: weighed };
}

function merge(a: Partial, b: Partial): Partial {
  const max = Math.max(a.max, b.max);
  const scaleA = exp(f(a.max - max));
  const scaleB = exp(f(b.max - max));
  const values = a.values.map((value, d) => f(f(value * scaleA) + f((b.values[d] ?? 0) * scaleB)));
  return { max, sum: f(f(a.sum * scaleA) + f(b.sum * scaleB)), values };
}
