/**
 * The header of a safetensors file, read as hostile input: every number is checked before it is used. The invariant of the result: the
 * tensors' byte ranges lie in the file, do not overlap, leave no hole, and each is as long as its shape and dtype say.
 */
import { LfmcError } from "../errors.ts";
import { parseJson } from "./json.ts";
import { isRecord, shown } from "./schema-error.ts";

/** A header may be this long; real ones are under 2 MB. */
export const headerBytesMax = 100_000_000;

/** Real ones have at most 8 characters. */
const dtypeLengthMax = 32;

/** Bits an element. Other types are kept by name, with no check of their length. */
const bitsOf: ReadonlyMap<string, number> = new Map([
  ...(["F64", "I64", "U64", "C64"] as const).map((name) => [name, 64] as const),
  ...(["F32", "I32", "U32"] as const).map((name) => [name, 32] as const),
  ...(["F16", "BF16", "I16", "U16"] as const).map((name) => [name, 16] as const),
  ...(["I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"] as const).map((name) => [name, 8] as const),
]);

export interface HeaderEntry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Absolute byte range in the file. */
  readonly begin: number;
  readonly end: number;
}

/** Length of the header from the file's first 8 bytes, checked against the file's size; `safetensors/header`. */
export function headerLength(prefix: Uint8Array, fileBytes: number, file: string): number {
  if (prefix.length < 8) return badHeader(file, "is shorter than the 8 bytes of a safetensors prefix");
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length < 2n) return badHeader(file, `gives its header ${length} bytes`);
  if (length > BigInt(fileBytes - 8)) return badHeader(file, `gives its header ${length} bytes, but the file has ${fileBytes}`);
  if (length > BigInt(headerBytesMax)) return badHeader(file, `gives its header ${length} bytes; at most ${headerBytesMax} are read`);
  return Number(length);
}

/** Every tensor of the file. `json` is the header without its prefix. Throws `safetensors/header` or, about one tensor, `safetensors/tensor`. */
export function parseHeader(json: Uint8Array, fileBytes: number, file: string): readonly HeaderEntry[] {
  const parsed = parseJson(json);
  if ("fault" in parsed) return badHeader(file, `its header ${parsed.fault}`);
  if (!isRecord(parsed.value)) return badHeader(file, `its header is ${shown(parsed.value)}; expected a JSON object`);
  const dataStart = 8 + json.length;
  const entries = Object.entries(parsed.value)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, entry]) => parseEntry(name, entry, dataStart, file));
  checkCoverage(entries, dataStart, fileBytes, file);
  return entries;
}

function parseEntry(name: string, entry: unknown, dataStart: number, file: string): HeaderEntry {
  if (!isRecord(entry)) return badTensor(file, name, `is ${shown(entry)} in the header; expected an object`);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string" || dtype.length > dtypeLengthMax) return badTensor(file, name, `has dtype ${shown(dtype)}`);
  if (!isCountList(shape)) return badTensor(file, name, `has shape ${shown(shape)}`);
  if (!isCountList(offsets) || offsets.length !== 2) return badTensor(file, name, `has data_offsets ${shown(offsets)}`);
  const [begin = 0, end = 0] = offsets;
  if (begin > end) return badTensor(file, name, `has data_offsets ${shown(offsets)}`);
  const bits = bitsOf.get(dtype);
  // Products of hostile sizes leave the safe integers, so they are taken exactly.
  const needed = bits === undefined ? null : shape.reduce((product, size) => product * BigInt(size), BigInt(bits) / 8n);
  if (needed !== null && needed !== BigInt(end - begin)) {
    return badTensor(file, name, `is ${dtype} ${shown(shape)}, ${needed} bytes, but data_offsets give ${end - begin}`);
  }
  return { name, dtype, shape, begin: dataStart + begin, end: dataStart + end };
}

function checkCoverage(entries: readonly HeaderEntry[], dataStart: number, fileBytes: number, file: string): void {
  const sorted = entries.toSorted((a, b) => a.begin - b.begin || a.end - b.end);
  let at = dataStart;
  for (const { name, begin, end } of sorted) {
    if (begin < at) badTensor(file, name, `begins at byte ${begin}, inside the tensor before it`);
    if (begin > at) badTensor(file, name, `begins at byte ${begin}, leaving a hole from byte ${at}`);
    if (end > fileBytes) badTensor(file, name, `ends at byte ${end}, but the file has ${fileBytes}`);
    at = end;
  }
  if (at !== fileBytes) badHeader(file, `its tensors end at byte ${at}, but the file has ${fileBytes}`);
}

function isCountList(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.length <= 16 && value.every((item) => Number.isSafeInteger(item) && Number(item) >= 0);
}

function badHeader(file: string, fact: string): never {
  throw new LfmcError("safetensors/header", fact, { subject: file, hint: "the file is damaged or cut short: download it again" });
}

function badTensor(file: string, name: string, fact: string): never {
  const hint = "the file is damaged or cut short: download it again";
  throw new LfmcError("safetensors/tensor", `tensor ${shown(name)} ${fact}`, { subject: file, hint });
}
