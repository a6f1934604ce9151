/** Changes to GGUF files: their records left out, repeated and moved, with counts and padding that fit, and numbers where numbers are. */
import type { Random } from "../random.ts";
import { mutateBytes, mutateFields, type Field } from "./bytes.ts";

interface Parts {
  /** A key with its value, or a tensor's name, sizes, type and place. */
  readonly keys: readonly Uint8Array[];
  readonly tensors: readonly Uint8Array[];
  readonly data: Uint8Array;
  /** Where the header's numbers are: counts, lengths, types, sizes, places, and values. */
  readonly fields: readonly Field[];
  readonly end: number;
}

/** A mutator of files that were whole once; what it finds out about one, it keeps. */
export function ggufMutator(): (random: Random, bytes: Uint8Array) => Uint8Array {
  const known = new WeakMap<Uint8Array, Parts>();
  return (random, bytes) => {
    const parts = known.get(bytes) ?? partsOf(bytes);
    known.set(bytes, parts);
    return random.one(
      () => mutateFields(random, bytes, parts.fields),
      () => mutateFields(random, bytes, parts.fields.slice(-4 * parts.tensors.length)),
      () => mutateBytes(random, bytes, random.chance(1, 6) ? bytes.length : parts.end),
      () => assembled({ ...parts, keys: changedList(random, parts.keys) }),
      () => assembled({ ...parts, tensors: changedList(random, parts.tensors) }),
      () => assembled({ ...parts, keys: parts.keys.map((key) => (random.chance(1, 16) ? mutateBytes(random, key) : key)) }),
    );
  };
}

function changedList(random: Random, list: readonly Uint8Array[]): readonly Uint8Array[] {
  const at = random.below(list.length);
  const item = random.pick(list);
  return random.one(
    () => list.toSpliced(at, 1),
    () => list.toSpliced(at, 0, item),
    () => list.toSpliced(at, 1, item),
    () => list.toReversed(),
    () => list.slice(0, at),
    () => list.toSpliced(at, 1, mutateBytes(random, item)),
  );
}

function assembled({ keys, tensors, data }: Parts): Uint8Array {
  const head = Buffer.alloc(24);
  head.write("GGUF", "latin1");
  head.writeUInt32LE(3, 4);
  head.writeBigUInt64LE(BigInt(tensors.length), 8);
  head.writeBigUInt64LE(BigInt(keys.length), 16);
  const header = Buffer.concat([head, ...keys, ...tensors]);
  return Buffer.concat([header, Buffer.alloc(-header.length & 31), data]);
}

const valueWidths: ReadonlyMap<number, Field["width"]> = new Map([
  ...[0, 1, 7].map((type) => [type, 1] as const),
  ...[2, 3].map((type) => [type, 2] as const),
  ...[4, 5, 6].map((type) => [type, 4] as const),
  ...[10, 11, 12].map((type) => [type, 8] as const),
]);
const [textType, arrayType] = [8, 9];
/** Values of an array that are changed; there may be thousands. */
const fieldsOfArray = 8;

/** Takes a whole file apart. */
function partsOf(bytes: Uint8Array): Parts {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields: Field[] = [];
  let at = 4;
  const read = (width: Field["width"], isKept = true): number => {
    if (isKept) fields.push({ offset: at, width });
    at += width;
    if (width === 8) return Number(view.getBigUint64(at - 8, true));
    return width === 4 ? view.getUint32(at - 4, true) : view.getUint8(at - width);
  };
  const text = (isKept = true): void => {
    const length = read(8, isKept);
    at += length;
  };
  const value = (type: number, isKept = true): void => {
    if (type === textType) text(isKept);
    else read(valueWidths.get(type) ?? 8, isKept);
  };
  read(4);
  const [tensorCount, keyCount] = [read(8), read(8)];
  const record = (readOne: () => void): Uint8Array => {
    const start = at;
    readOne();
    return bytes.subarray(start, at);
  };
  const key = (): void => {
    text();
    const type = read(4);
    if (type !== arrayType) {
      value(type);
      return;
    }
    const [itemType, count] = [read(4), read(8)];
    for (let i = 0; i < count; i++) value(itemType, i < fieldsOfArray);
  };
  const tensor = (): void => {
    text();
    const axes = read(4);
    for (let i = 0; i < axes; i++) read(8);
    read(4);
    read(8);
  };
  const keys = Array.from({ length: keyCount }, () => record(key));
  const tensors = Array.from({ length: tensorCount }, () => record(tensor));
  return { keys, tensors, data: bytes.subarray((at + 31) & ~31), fields, end: at };
}
