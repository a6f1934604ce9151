/**
 * A model for the runtime's tests: no network, but a state that behaves like one. Every slot keeps all tokens by position (as a KV
 * cache does) and the last few in a ring (as the short convolutions do), and the logits depend on all of them. So a wrong slot, a wrong
 * position, a stale ring or a lost token changes the logits.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { LfmcError, type ErrorCode } from "../../runtime/errors.ts";
import type { Engine } from "../../runtime/engine.ts";
import { type Limits, type Manifest, type WeightPart, manifestVersion, weightPieceBytes } from "../../runtime/manifest.ts";
import { manifestChecksum } from "../../runtime/manifest-parse.ts";
import { type Model, createModel } from "../../runtime/model.ts";
import { type Tokenizer, createTokenizer } from "../../runtime/tokenizer.ts";

export const demoFolder = new URL("../../examples/demo-model/", import.meta.url);

/** Rows of the ring that a step reads, as a convolution of width 3 does. */
const reads = 2;
const checkpointInterval = 6;

export function readDemoJson(name: string): unknown {
  return JSON.parse(readFileSync(new URL(name, demoFolder), "utf8"));
}

export function demoTokenizer(): Tokenizer {
  return createTokenizer(readDemoJson("tokenizer.json"), readDemoJson("tokenizer_config.json"), 1);
}

const greedySampling = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };

export interface FakeShape extends Partial<Limits> {
  readonly vocabSize?: number;
  readonly eos?: readonly number[];
  readonly hash?: string;
  readonly sampling?: Manifest["sampling"];
}

/** A manifest whose regions lie one after the other in one or more pages. */
export function fakeManifest(shape: FakeShape = {}): Manifest {
  const { vocabSize = 32, eos = [], hash = "ab".repeat(32), sampling = greedySampling, ...given } = shape;
  const limits: Limits = { context: 24, prefillChunk: 5, logitRows: 3, sessions: 3, rewind: 4, ...given };
  const ring = { offset: 4 * limits.context, rows: limits.rewind + reads, rowBytes: 4, reads };
  const checkpoints = {
    offset: ring.offset + 4 * ring.rows,
    bytes: Math.floor((limits.context - 1) / checkpointInterval) * 4 * reads,
    interval: checkpointInterval,
  };
  const slotBytes = checkpoints.offset + checkpoints.bytes;
  const sizes = [64, limits.sessions * slotBytes, 16 * limits.prefillChunk, 4 * vocabSize * limits.logitRows, 4 * limits.logitRows, 128];
  const [weights, state, rows, logits, choices, scratch] = sizes.map((bytes, i) => ({
    offset: sizes.slice(0, i).reduce((a, b) => a + b, 64),
    bytes,
  }));
  if (!weights || !state || !rows || !logits || !choices || !scratch) throw new Error("six regions");
  const pages = Math.ceil((scratch.offset + scratch.bytes) / 65536);
  return sealed({
    format: "lfmc-artefact",
    version: manifestVersion,
    lfmc: "0.0.0",
    name: "fake",
    target: "wasm-simd",
    model: { type: "lfm2", vocabSize, hiddenSize: 4, layers: 1, parameters: 16, experts: null, hash },
    limits,
    memory: {
      bytes: pages * 65536,
      pages,
      threadBytes: 0,
      weights,
      state: { ...state, slotBytes, rings: [ring], checkpoints },
      rows,
      logits: { ...logits, strideBytes: 4 * vocabSize },
      choices,
      scratch,
    },
    variants: [{ name: "simd128", module: "model.wasm", features: ["simd128"], threads: false, bytes: 100, sha256: "0".repeat(64) }],
    sources: [],
    weights: [{ path: "weights/weights-0.bin", bytes: 64, sha256: "0".repeat(64), pieces: ["0".repeat(64)] }],
    tensors: [],
    quantization: { weights: "q4_0", activations: "q8", kv: "f32" },
    sampling,
    tokens: { bos: 1, eos, pad: 0 },
    files: { tokenizer: null, tokenizerConfig: null, chatTemplate: null },
  });
}

/** What the manifest says of a part of the weights. */
export function weightPart(path: string, bytes: Uint8Array): WeightPart {
  const count = Math.ceil(bytes.length / weightPieceBytes);
  const pieces = Array.from({ length: count }, (_, i) => sha256(bytes.subarray(i * weightPieceBytes, (i + 1) * weightPieceBytes)));
  return { path, bytes: bytes.length, sha256: sha256(bytes), pieces };
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A manifest with the checksum that fits it. */
export function sealed(manifest: Omit<Manifest, "checksum">): Manifest {
  return { ...manifest, checksum: manifestChecksum(manifest) };
}

/** Chooses the likeliest token after a history; by default it is a hash of it. */
export type Script = (history: readonly number[]) => number;

/** The rows of one forward call. */
export interface Call {
  readonly rows: number;
  readonly logits: number;
}

export function fakeEngine(manifest: Manifest, script?: Script): Engine & { readonly calls: Call[] } {
  const { memory, limits, model } = manifest;
  const words = new Int32Array(memory.bytes / 4);
  const floats = new Float32Array(words.buffer);
  const ringSize = limits.rewind + reads;
  const calls: Call[] = [];
  const runRow = (row: number, logitRow: number): number => {
    const [token = 0, slot = 0, position = 0, wanted = 0] = words.subarray(memory.rows.offset / 4 + row * 4);
    const cache = (memory.state.offset + slot * memory.state.slotBytes) / 4;
    const ring = cache + limits.context;
    words[cache + position] = token + 1;
    let hash = 17;
    for (let back = 1; back <= reads; back++) hash = mix(hash, words[ring + ((position - back + ringSize) % ringSize)] ?? 0);
    words[ring + (position % ringSize)] = token + 1;
    const history = Array.from(words.subarray(cache, cache + position + 1), (word) => word - 1);
    for (const one of history) hash = mix(hash, one);
    if (wanted === 0) return 0;
    const logits = floats.subarray(memory.logits.offset / 4 + (logitRow * memory.logits.strideBytes) / 4).subarray(0, model.vocabSize);
    logits.forEach((_, i) => (logits[i] = (mix(hash, i) >>> 8) / 2 ** 22));
    if (script) logits[script(history)] = 100;
    words[memory.choices.offset / 4 + logitRow] = logits.indexOf(Math.max(...logits));
    return 1;
  };
  return {
    memory: { buffer: words.buffer },
    calls,
    forward(rowCount, logitCount) {
      let wanted = 0;
      for (let row = 0; row < rowCount; row++) wanted += runRow(row, wanted);
      if (wanted !== logitCount) throw new Error(`${logitCount} logits announced, ${wanted} wanted`);
      calls.push({ rows: rowCount, logits: logitCount });
    },
  };
}

export interface Fake {
  readonly model: Model;
  readonly calls: readonly Call[];
}

export function fakeModel(shape: FakeShape = {}, script?: Script, tokenizer: Tokenizer | null = null): Fake {
  const manifest = fakeManifest(shape);
  const engine = fakeEngine(manifest, script);
  return { model: createModel({ manifest, engine, tokenizer }), calls: engine.calls };
}

/** The code and message of the LfmcError that `run` ends with. */
export async function refusal(run: () => unknown): Promise<{ readonly code: ErrorCode; readonly message: string }> {
  try {
    await run();
  } catch (error) {
    if (error instanceof LfmcError) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error("nothing was refused");
}

function mix(hash: number, word: number): number {
  const x = Math.imul(hash ^ word, 0x01000193);
  return Math.imul(x ^ (x >>> 15), 0x2c1b3c6d) ^ (x >>> 13);
}
