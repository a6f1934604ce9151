/**
 * The header of a GGUF file, read as hostile input: scanned byte by byte, then parsed by @huggingface/gguf from the scanned bytes alone,
 * then every number checked again. The invariant of the result: the tensors' byte ranges lie in the file, one after the other with
 * nothing but padding between them, and each is as long as its shape and type say.
 */
import { gguf } from "@huggingface/gguf";
import { LfmcError } from "../../errors.ts";
import { readExactly, type OpenFile } from "../file-floats.ts";
import { isRecord, shown } from "../schema-error.ts";
import { blockTypeOf, readTypes, type BlockType } from "./blocks.ts";
import { badHeader, headerBytesMax, ownKeys, scanHeader, valueTypes, type HeaderScan } from "./scan.ts";

/** A value of the metadata, with the format's numbers of its type and of its items' type (null where it is no array). */
export interface MetadataEntry {
  readonly type: number;
  readonly itemType: number | null;
  readonly value: unknown;
}

export type Metadata = ReadonlyMap<string, MetadataEntry>;

export interface GgufTensor {
  readonly name: string;
  /** Outermost axis first, as checkpoints have it; the file lists them the other way round. */
  readonly shape: readonly number[];
  readonly type: BlockType;
  /** Absolute byte range in the file. */
  readonly begin: number;
  readonly end: number;
}

export interface GgufHeader {
  readonly metadata: Metadata;
  readonly tensors: readonly GgufTensor[];
}

/** Reads the header of a file of `fileBytes` bytes. Throws gguf/header, gguf/metadata, gguf/tensor, io/unreadable. */
export async function readHeader(file: OpenFile, fileBytes: number): Promise<GgufHeader> {
  const prefix = new Uint8Array(Math.min(fileBytes, headerBytesMax));
  await readExactly(file, prefix, 0);
  const scan = scanHeader(prefix, fileBytes, file.path);
  const parsed = await parse(prefix.subarray(0, scan.end), file.path);
  const [, infosEnd] = parsed.tensorInfoByteRange;
  if (infosEnd !== scan.end) return badHeader(file.path, `has a header of ${scan.end} bytes, of which ${infosEnd} are understood`);
  const metadata = metadataOf(parsed.typedMetadata, scan);
  const dataStart = roundUp(scan.end, alignmentOf(metadata, file.path));
  const tensors = parsed.tensorInfos.map((info) => tensorOf(info, dataStart, fileBytes, file.path));
  checkCoverage(tensors, dataStart, alignmentOf(metadata, file.path), fileBytes, file.path);
  return { metadata, tensors };
}

/** What the library makes of the header. It reads URLs; this one's bytes come from memory. */
async function parse(header: Uint8Array<ArrayBuffer>, file: string) {
  const fetch = (_: unknown, request?: { readonly headers?: unknown }): Promise<Response> => {
    const [, first = "0", last = "0"] = /bytes=(\d+)-(\d+)/.exec(JSON.stringify(request?.headers)) ?? [];
    return Promise.resolve(new Response(header.subarray(Number(first), Number(last) + 1)));
  };
  try {
    return await gguf("http://memory/header.gguf", { fetch, typedMetadata: true });
  } catch (error) {
    return badHeader(file, `cannot be parsed (${error instanceof Error ? error.message : String(error)})`);
  }
}

/**
 * The library reads in pieces of 2,000,000 bytes and cuts a string short that ends in the next piece (0.4.6). Strings are short against
 * what it reads ahead, so that can befall only the last of an array, and the scan has that one.
 */
function metadataOf(parsed: object, { lastTexts }: HeaderScan): Metadata {
  const metadata = new Map<string, MetadataEntry>();
  for (const [key, entry] of Object.entries<unknown>({ ...parsed })) {
    if (ownKeys.has(key) || !isRecord(entry)) continue;
    const { type, subType, value } = entry;
    const last = lastTexts.get(key);
    const whole: unknown = last !== undefined && Array.isArray(value) ? value.with(-1, last) : value;
    metadata.set(key, { type: Number(type), itemType: subType === undefined ? null : Number(subType), value: whole });
  }
  return metadata;
}

/** `general.alignment`, 32 where it is absent: a u32, a power of two. Throws gguf/metadata. */
function alignmentOf(metadata: Metadata, file: string): number {
  const entry = metadata.get("general.alignment");
  if (!entry) return 32;
  const alignment = entry.type === valueTypes.u32 ? Number(entry.value) : 0;
  if (alignment >= 8 && alignment <= 65536 && Number.isInteger(Math.log2(alignment))) return alignment;
  const fact = `general.alignment is ${shown(String(entry.value))}; expected a u32, a power of two from 8 to 65536`;
  throw new LfmcError("gguf/metadata", fact, { subject: file, hint: "the file is damaged: download it again" });
}

/** What the library says of a tensor. */
interface TensorInfo {
  readonly name: string;
  readonly shape: readonly bigint[];
  readonly dtype: number;
  readonly offset: bigint;
}

function tensorOf({ name, shape, dtype, offset }: TensorInfo, dataStart: number, fileBytes: number, file: string): GgufTensor {
  const type = blockTypeOf(dtype);
  if (!type) {
    const fact = `tensor ${shown(name)} has ggml's type ${dtype}; lfmc reads ${readTypes}`;
    throw new LfmcError("gguf/tensor", fact, { subject: file, hint: "get the model in one of these types, or its original checkpoint" });
  }
  const wrong = shape.find((size) => size < 1n || size > BigInt(Number.MAX_SAFE_INTEGER));
  if (wrong !== undefined) return badTensor(file, name, `has an axis of size ${wrong}`);
  const width = shape[0] ?? 1n;
  if (width % BigInt(type.values) !== 0n) {
    return badTensor(file, name, `has rows of ${width} values; ${type.name} has blocks of ${type.values}`);
  }
  // Products of hostile sizes leave the safe integers, so they are taken exactly.
  const bytes = (shape.reduce((product, size) => product * size, 1n) / BigInt(type.values)) * BigInt(type.bytes);
  const [begin, end] = [BigInt(dataStart) + offset, BigInt(dataStart) + offset + bytes];
  if (end > BigInt(fileBytes)) {
    return badTensor(file, name, `is ${type.name} [${shape.toReversed().join(", ")}], which would end at byte ${end} of ${fileBytes}`);
  }
  return { name, shape: shape.map(Number).toReversed(), type, begin: Number(begin), end: Number(end) };
}

/** Tensors follow each other in the order of their offsets, each at the next aligned byte. */
function checkCoverage(tensors: readonly GgufTensor[], dataStart: number, alignment: number, fileBytes: number, file: string): void {
  let at = dataStart;
  for (const { name, begin, end } of tensors.toSorted((a, b) => a.begin - b.begin)) {
    if (begin < at) badTensor(file, name, `begins at byte ${begin}, inside the tensor before it`);
    if (begin > at) badTensor(file, name, `begins at byte ${begin}, leaving a hole from byte ${at}`);
    at = roundUp(end, alignment);
  }
  if (fileBytes > at) badHeader(file, `has ${fileBytes - at} bytes after its last tensor`);
}

function roundUp(bytes: number, alignment: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

function badTensor(file: string, name: string, fact: string): never {
  const hint = "the file is damaged or cut short: download it again";
  throw new LfmcError("gguf/tensor", `tensor ${shown(name)} ${fact}`, { subject: file, hint });
}
