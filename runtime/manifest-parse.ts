/**
 * `manifest.json` from unknown JSON to `Manifest`. What passes here can be obeyed blindly: every region lies inside the memory and
 * apart from the others, the weight parts, if any, fill their region exactly, rows and logits hold the limits, and file names cannot leave
 * the artefact's folder. Keys it does not know are left out.
 */
import {
  isEmbedded,
  type Limits,
  type Manifest,
  type MemoryMap,
  type ModelFacts,
  type PackedTensor,
  type Quantization,
  type Region,
  type Ring,
  type SamplingDefaults,
  type SourceFile,
  type SpecialTokens,
  type StateMap,
  type Variant,
  type WeightPart,
  manifestFormat,
  manifestVersion,
  weightPieceBytes,
} from "./manifest.ts";
import { crc32 } from "./crc32.ts";
import { Reader } from "./manifest-reader.ts";

/** Bytes of one row of a call: token, slot, position, wantsLogits as i32. */
export const rowBytes = 16;
/** Bytes of one choice: an i32. */
const choiceBytes = 4;
const pageBytes = 65536;
/** The most pages of a memory with 32-bit addresses, and of one with 64-bit addresses. */
const narrowPages = 65536;
const widePages = 262144;

/** The manifest in `json` (the parsed text of `manifest.json`); throws `artefact/invalid` naming the first field at fault. */
export function parseManifest(json: unknown): Manifest {
  const root = new Reader(json, "");
  const version = root.integer("version");
  if (root.string("format") !== manifestFormat) root.fail("format", `is not "${manifestFormat}"`);
  if (version !== manifestVersion) root.fail("version", `is ${version}, this runtime reads ${manifestVersion}`);
  const memory = parseMemory(root.object("memory"));
  const manifest: Manifest = {
    format: manifestFormat,
    version: manifestVersion,
    lfmc: root.string("lfmc"),
    name: root.string("name"),
    target: root.oneOf("target", ["wasm-simd", "c", "c-x86", "c-arm"]),
    model: parseModel(root.object("model")),
    limits: parseLimits(root.object("limits")),
    memory,
    variants: root.array("variants").map(parseVariant),
    sources: root.array("sources").map(parseSourceFile),
    weights: root.array("weights").map(parseWeightPart),
    tensors: root.array("tensors").map((tensor) => parseTensor(tensor, memory.weights)),
    quantization: parseQuantization(root.object("quantization")),
    sampling: parseSampling(root.object("sampling")),
    tokens: parseTokens(root.object("tokens")),
    files: parseFiles(root.object("files")),
    checksum: root.string("checksum"),
  };
  checkWhole(root, manifest);
  const expected = manifestChecksum(manifest);
  if (manifest.checksum !== expected) root.fail("checksum", `is ${manifest.checksum}, what it is of has ${expected}`);
  return manifest;
}

/**
 * The checksum of the fields that belong to the module and the weights: an address or a limit that is altered would not be noticed in any other
 * way. CRC-32 of their JSON with sorted keys, as 8 hexadecimal digits.
 */
export function manifestChecksum(manifest: Omit<Manifest, "checksum">): string {
  const { target, model, limits, memory, variants, sources, weights, tensors, quantization } = manifest;
  const text = JSON.stringify({ target, model, limits, memory, variants, sources, weights, tensors, quantization }, sortKeys);
  return crc32(new TextEncoder().encode(text)).toString(16).padStart(8, "0");
}

function sortKeys(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function parseModel(at: Reader): ModelFacts {
  return {
    type: at.oneOf("type", ["lfm2", "lfm2_moe"]),
    vocabSize: at.positive("vocabSize"),
    hiddenSize: at.positive("hiddenSize"),
    layers: at.positive("layers"),
    parameters: at.integer("parameters"),
    experts: parseExperts(at.objectOrNull("experts")),
    hash: at.hash("hash"),
  };
}

function parseExperts(at: Reader | null): ModelFacts["experts"] {
  if (!at) return null;
  const [count, perToken] = [at.positive("count"), at.positive("perToken")];
  return perToken <= count ? { count, perToken } : at.fail("perToken", `is more than the ${count} experts of a layer`);
}

function parseLimits(at: Reader): Limits {
  return {
    context: at.positive("context"),
    prefillChunk: at.positive("prefillChunk"),
    logitRows: at.positive("logitRows"),
    sessions: at.positive("sessions"),
    rewind: at.integer("rewind"),
  };
}

function parseMemory(at: Reader): MemoryMap {
  const logits = at.object("logits");
  return {
    bytes: at.positive("bytes"),
    pages: at.integer("pages"),
    threadBytes: at.integer("threadBytes"),
    weights: parseRegion(at.object("weights")),
    state: parseState(at.object("state")),
    rows: parseRegion(at.object("rows")),
    logits: { ...parseRegion(logits), strideBytes: logits.positive("strideBytes") },
    choices: parseRegion(at.object("choices")),
    scratch: parseRegion(at.object("scratch")),
  };
}

function parseState(at: Reader): StateMap {
  const checkpoints = at.object("checkpoints");
  return {
    ...parseRegion(at),
    slotBytes: at.positive("slotBytes"),
    rings: at.array("rings").map(parseRing),
    checkpoints: { ...parseRegion(checkpoints), interval: checkpoints.positive("interval") },
  };
}

function parseRing(at: Reader): Ring {
  return { offset: at.integer("offset"), rows: at.positive("rows"), rowBytes: at.positive("rowBytes"), reads: at.positive("reads") };
}

function parseRegion(at: Reader): Region {
  return { offset: at.integer("offset"), bytes: at.integer("bytes") };
}

function parseVariant(at: Reader): Variant {
  return {
    name: at.string("name"),
    module: at.fileName("module", ""),
    features: at.strings("features"),
    threads: at.boolean("threads"),
    bytes: at.positive("bytes"),
    sha256: at.hash("sha256"),
  };
}

function parseSourceFile(at: Reader): SourceFile {
  return { path: at.fileName("path", ""), sha256: at.hash("sha256") };
}

function parseWeightPart(at: Reader): WeightPart {
  const [bytes, pieces] = [at.positive("bytes"), at.hashes("pieces")];
  const count = Math.ceil(bytes / weightPieceBytes);
  if (pieces.length !== count) at.fail("pieces", `has ${pieces.length} hashes, ${bytes} bytes have ${count}`);
  return { path: at.fileName("path", "weights/"), bytes, sha256: at.hash("sha256"), pieces };
}

function parseTensor(at: Reader, weights: Region): PackedTensor {
  const tensor: PackedTensor = {
    name: at.string("name"),
    sources: at.strings("sources"),
    encoding: at.string("encoding"),
    shape: at.integers("shape"),
    offset: at.integer("offset"),
    bytes: at.integer("bytes"),
  };
  if (tensor.offset + tensor.bytes > weights.bytes) at.fail("offset", "leads outside the weights region");
  return tensor;
}

function parseQuantization(at: Reader): Quantization {
  return {
    weights: at.string("weights"),
    activations: at.oneOf("activations", ["q8", "f32"]),
    kv: at.oneOf("kv", ["f32", "f16", "q8_0"]),
  };
}

function parseSampling(at: Reader): SamplingDefaults {
  return {
    temperature: at.number("temperature"),
    topK: at.integer("topK"),
    topP: at.number("topP"),
    minP: at.number("minP"),
    repetitionPenalty: at.number("repetitionPenalty"),
  };
}

function parseTokens(at: Reader): SpecialTokens {
  return { bos: at.integerOrNull("bos"), eos: at.integers("eos"), pad: at.integerOrNull("pad") };
}

function parseFiles(at: Reader): Manifest["files"] {
  return {
    tokenizer: at.fileNameOrNull("tokenizer"),
    tokenizerConfig: at.fileNameOrNull("tokenizerConfig"),
    chatTemplate: at.fileNameOrNull("chatTemplate"),
  };
}

/** What ties the fields to one another. */
function checkWhole(root: Reader, manifest: Manifest): void {
  const { memory, limits, model, sources, weights, variants, tokens } = manifest;
  if (manifest.target === "wasm-simd") checkModuleMemory(root, manifest);
  else checkLibrary(root, manifest);
  checkState(root, memory.state, limits);
  if (memory.state.bytes < limits.sessions * memory.state.slotBytes) root.fail("memory.state", "does not hold limits.sessions slots");
  if (memory.rows.bytes < limits.prefillChunk * rowBytes) root.fail("memory.rows", "does not hold limits.prefillChunk rows");
  const { bytes, strideBytes } = memory.logits;
  if (strideBytes < model.vocabSize * 4 || strideBytes % 4 !== 0) root.fail("memory.logits.strideBytes", "does not hold one row of logits");
  if (bytes < (limits.logitRows - 1) * strideBytes + model.vocabSize * 4) root.fail("memory.logits", "does not hold limits.logitRows rows");
  if (memory.choices.bytes < limits.logitRows * choiceBytes) root.fail("memory.choices", "does not hold limits.logitRows choices");
  const partBytes = weights.reduce((sum, part) => sum + part.bytes, 0);
  if (!isEmbedded(manifest) && partBytes !== memory.weights.bytes)
    root.fail("weights", `have ${partBytes} bytes, their region has ${memory.weights.bytes}`);
  if (variants.length === 0) root.fail("variants", "is empty");
  const files = [...variants.map(({ module }) => module), ...[...sources, ...weights].map(({ path }) => path)];
  // A threaded variant has the name of that of one thread.
  const named = (threads: boolean): readonly string[] => variants.filter((each) => each.threads === threads).map(({ name }) => name);
  for (const list of [named(false), named(true), files]) {
    const seen = new Set();
    const repeated = list.find((name) => seen.size === seen.add(name).size);
    if (repeated !== undefined) root.fail("variants, sources and weights", `name "${repeated}" twice`);
  }
  for (const id of [tokens.bos, tokens.pad, ...tokens.eos]) {
    if (id !== null && id >= model.vocabSize) root.fail("tokens", `names ${id}, outside the vocabulary of ${model.vocabSize}`);
  }
}

/** Of a module: everything lies in its one memory of whole pages. */
function checkModuleMemory(root: Reader, { memory, variants }: Manifest): void {
  const isWide = variants.every(({ features }) => features.includes("memory64"));
  const most = isWide ? widePages : narrowPages;
  if (memory.pages > most) root.fail("memory.pages", `is above ${most}, the most that a ${isWide ? 64 : 32}-bit memory has`);
  if (memory.bytes !== memory.pages * pageBytes) root.fail("memory.bytes", `is not ${memory.pages} pages of 64 KiB`);
  checkRegions(root, memory, ["weights", ...regionsBesideWeights]);
}

/** Of a library: its weights are one file, mapped beside the memory; its files and its symbols bear its name. */
function checkLibrary(root: Reader, { memory, sources, weights }: Manifest): void {
  root.fileName("name", "");
  if (memory.pages !== 0) root.fail("memory.pages", "is not 0: a library's memory has no pages");
  if (memory.weights.offset !== 0) root.fail("memory.weights.offset", "is not 0: a library's weights are a file of their own");
  if (weights.length !== 1) root.fail("weights", "are not one file");
  if (sources.length === 0) root.fail("sources", "is empty");
  checkRegions(root, memory, regionsBesideWeights);
}

const regionsBesideWeights = ["state", "rows", "logits", "choices", "scratch"] as const;

function checkRegions(root: Reader, memory: MemoryMap, names: readonly ("weights" | (typeof regionsBesideWeights)[number])[]): void {
  const regions = names.map((name) => ({ name: `memory.${name}`, ...memory[name] }));
  checkApart(root, regions, memory.bytes, "the memory");
}

/** A slot's rings hold what a rewind and a step read, and its checkpoints all that the context has room for. */
function checkState(root: Reader, { slotBytes, rings, checkpoints }: StateMap, limits: Limits): void {
  for (const [i, { rows, reads }] of rings.entries())
    if (rows < limits.rewind + reads) root.fail(`memory.state.rings[${i}]`, "is shorter than limits.rewind and what a step reads");
  const checkpointBytes = rings.reduce((sum, { reads, rowBytes }) => sum + reads * rowBytes, 0);
  const count = Math.floor((limits.context - 1) / checkpoints.interval);
  if (checkpoints.bytes < count * checkpointBytes) root.fail("memory.state.checkpoints", `does not hold ${count} checkpoints`);
  const ringRegions = rings.map(({ offset, rows, rowBytes }, i) => ({ name: `memory.state.rings[${i}]`, offset, bytes: rows * rowBytes }));
  checkApart(root, [...ringRegions, { name: "memory.state.checkpoints", ...checkpoints }], slotBytes, "a slot");
}

function checkApart(root: Reader, regions: readonly (Region & { readonly name: string })[], size: number, whole: string): void {
  let end = 0;
  for (const { name, offset, bytes } of regions.toSorted((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (offset % 4 !== 0) root.fail(`${name}.offset`, "is not a multiple of 4");
    if (offset + bytes > size) root.fail(name, `leads outside ${whole}`);
    if (bytes > 0 && offset < end) root.fail(name, "overlaps another region");
    end = Math.max(end, offset + bytes);
  }
}
