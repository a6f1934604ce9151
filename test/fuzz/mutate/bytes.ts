/** Changes to bytes that know nothing of their format but where its numbers may be. */
import type { Random } from "../random.ts";

/** A whole number in the bytes, little-endian. */
export interface Field {
  readonly offset: number;
  readonly width: 1 | 2 | 4 | 8;
}

/** `bytes` after a few changes, most of them in its first `head` bytes. */
export function mutateBytes(random: Random, bytes: Uint8Array, head = bytes.length): Uint8Array {
  let result = bytes;
  for (let left = random.few(); left > 0; left--) result = mutateOnce(random, result, Math.min(head, result.length));
  return result;
}

/** `bytes` with a few of these fields overwritten by numbers that readers get wrong. */
export function mutateFields(random: Random, bytes: Uint8Array, fields: readonly Field[]): Uint8Array {
  const copy = bytes.slice();
  for (let left = random.few(); left > 0; left--) writeField(random, copy, random.pick(fields));
  return copy;
}

function mutateOnce(random: Random, bytes: Uint8Array, head: number): Uint8Array {
  const reach = random.chance(9, 10) ? head : bytes.length;
  const at = random.below(Math.max(1, reach));
  const run = 1 + random.below(random.pick([4, 16, 64, 4096]));
  switch (random.below(10)) {
    case 0:
    case 1:
      return bytes.map((byte, i) => (i === at ? byte ^ (1 << random.below(8)) : byte));
    case 2:
    case 3:
      return withByte(bytes, at, random.chance(1, 2) ? random.pick(edgeBytes) : random.below(256));
    case 4: {
      const width = random.pick([1, 2, 4, 8] as const);
      const copy = bytes.slice();
      const offset = random.chance(1, 2) ? at - (at % width) : at;
      if (offset + width <= copy.length) writeField(random, copy, { offset, width });
      return copy;
    }
    case 5:
      return joined(bytes.subarray(0, at), bytes.subarray(at + run));
    case 6:
      return joined(bytes.subarray(0, at), bytes.subarray(at, at + run), bytes.subarray(at));
    case 7: {
      const from = random.below(Math.max(1, bytes.length));
      const copy = bytes.slice();
      copy.set(bytes.subarray(from, from + Math.min(run, bytes.length - at)), at);
      return copy;
    }
    case 8:
      return bytes.slice(0, random.chance(1, 2) ? at : random.below(bytes.length + 1));
    default:
      return joined(bytes.subarray(0, at), new Uint8Array(random.chance(1, 8) ? run : 1).fill(random.pick(edgeBytes)), bytes.subarray(at));
  }
}

const edgeBytes = [0, 1, 0x7f, 0x80, 0xff, ...new TextEncoder().encode('{}[]",:\\0-.eE %#')];

function withByte(bytes: Uint8Array, at: number, value: number): Uint8Array {
  return bytes.map((byte, i) => (i === at ? value : byte));
}

/** Limits of signed and unsigned numbers of each width, and counts that ask for gigabytes. */
const edges = [0n, 1n, 2n, 3n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0xffffn, 2n ** 20n, 2n ** 30n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n];
const wideEdges = [...edges, 2n ** 32n, 2n ** 40n, 2n ** 53n, 2n ** 61n, 2n ** 62n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n];

function writeField(random: Random, bytes: Uint8Array, { offset, width }: Field): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read = (): bigint =>
    Array.from({ length: width }, (_, i) => BigInt(view.getUint8(offset + i)) << BigInt(8 * i)).reduce((a, b) => a | b);
  const value = random.one(
    () => random.pick(wideEdges),
    () => read() + BigInt(random.below(9) - 4),
    () => read() * BigInt(random.pick([2, 3, 4, 32, 256])),
    () => BigInt(random.word()) % 64n,
  );
  for (let i = 0; i < width; i++) view.setUint8(offset + i, Number((value >> BigInt(8 * i)) & 0xffn));
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
