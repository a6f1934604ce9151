/**
 * The artefact contract: what `manifest.json` says. The compiler writes it, the runtime obeys it; every address is a byte offset
 * into the module's one memory, fixed by the compiler's plan.
 */

export const manifestFormat = "lfmc-artefact";
/** The version of the manifest that this runtime reads. */
export const manifestVersion = 2;

export interface Manifest {
  readonly format: typeof manifestFormat;
  readonly version: typeof manifestVersion;
  /** Version of the compiler that wrote the artefact. */
  readonly lfmc: string;
  readonly name: string;
  readonly target: "wasm-simd" | "c" | "c-x86" | "c-arm";
  readonly model: ModelFacts;
  readonly limits: Limits;
  readonly memory: MemoryMap;
  readonly variants: readonly Variant[];
  /** Files that a library is built from, beside those of the variants; none where the variants are modules. */
  readonly sources: readonly SourceFile[];
  /** Parts of the weights region, to be laid one after the other from its offset; none where the modules hold the weights (`isEmbedded`). */
  readonly weights: readonly WeightPart[];
  readonly tensors: readonly PackedTensor[];
  readonly quantization: Quantization;
  readonly sampling: SamplingDefaults;
  readonly tokens: SpecialTokens;
  /** File names inside the artefact, null where the model has none. */
  readonly files: { readonly tokenizer: string | null; readonly tokenizerConfig: string | null; readonly chatTemplate: string | null };
  /** `manifestChecksum` of what must be as it was compiled; sampling defaults, tokens and files may be edited. */
  readonly checksum: string;
}

export interface ModelFacts {
  readonly type: "lfm2" | "lfm2_moe";
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly layers: number;
  readonly parameters: number;
  /** Of a mixture of experts: how many a layer has, and how many of them a token goes through; null for a dense model. */
  readonly experts: { readonly count: number; readonly perToken: number } | null;
  /** sha256 of the packed weights and the module-independent plan: two artefacts with one hash give the same bits and accept each other's sessions. */
  readonly hash: string;
}

export interface Limits {
  /** Positions a session can hold. */
  readonly context: number;
  /** Most rows in one forward call. */
  readonly prefillChunk: number;
  /** Most rows that may want logits in one forward call. */
  readonly logitRows: number;
  /** Session slots. */
  readonly sessions: number;
  /** Positions by which a session can be rewound at no cost. */
  readonly rewind: number;
}

export interface MemoryMap {
  /** The whole memory in bytes; of a WebAssembly memory, both its initial size and its maximum. */
  readonly bytes: number;
  /** The same in pages of 64 KiB; 0 where the memory is a native library's arena. */
  readonly pages: number;
  /** Scratch that each thread has outside of the memory; 0 for programs of one thread. */
  readonly threadBytes: number;
  /** In the memory; of a native library in a space of its own, the mapped file. */
  readonly weights: Region;
  readonly state: StateMap;
  /** Rows of a call, 16 bytes each: token, slot, position, wantsLogits (0 or 1), as little-endian i32. */
  readonly rows: Region;
  /** f32 logits of the rows that want them, in rising order; row r starts at offset + r * strideBytes. */
  readonly logits: Region & { readonly strideBytes: number };
  /** The likeliest token by each of them, as little-endian i32: the first of the largest logits' indices, -1 where none is above -infinity. */
  readonly choices: Region;
  readonly scratch: Region;
}

/** A part of the memory, in bytes from its start. */
export interface Region {
  readonly offset: number;
  readonly bytes: number;
}

/** Session slots, one after the other: slot s starts at offset + s * slotBytes. Offsets inside it are from a slot's start. */
export interface StateMap extends Region {
  readonly slotBytes: number;
  /** What a step overwrites as it goes: the short convolutions' recent rows. The rest of a slot, the KV cache, keeps every position. */
  readonly rings: readonly Ring[];
  readonly checkpoints: Checkpoints;
}

/** A convolution's recent rows: that of position p is row p mod rows. A step at p reads the `reads` rows before its own. */
export interface Ring {
  readonly offset: number;
  readonly rows: number;
  readonly rowBytes: number;
  readonly reads: number;
}

/**
 * Room for copies of the rings' rows before every `interval`th position: checkpoint k (from 1) holds, ring by ring, the `reads` rows
 * before position k * interval, oldest first. The runtime writes them, and rewinds to them.
 */
export interface Checkpoints extends Region {
  readonly interval: number;
}

/**
 * Code for one instruction set. A WebAssembly module imports its memory as `env.memory` and exports `forward(rowCount: i32, logitCount: i32)`,
 * and `embed()` where it holds the weights; it says which variant it is in a section (`moduleLabel`). A C source is one unit of the artefact's
 * library.
 */
export interface Variant {
  readonly name: string;
  /** File name in the artefact. */
  readonly module: string;
  readonly features: readonly string[];
  readonly threads: boolean;
  readonly bytes: number;
  readonly sha256: string;
}

/** Whether the modules hold the weights, and `embed` of one copies them to their region; only of WebAssembly. */
export function isEmbedded({ weights }: Pick<Manifest, "weights">): boolean {
  return weights.length === 0;
}

/** The custom section in which a WebAssembly module says which variant it is. */
export const moduleSection = "lfmc";

/** What it says there: `relaxed`, or `relaxed threads`. */
export function moduleLabel({ name, threads }: Pick<Variant, "name" | "threads">): string {
  return threads ? `${name} threads` : name;
}

/** A file of C source, with its sha256 in hexadecimal. */
export interface SourceFile {
  readonly path: string;
  readonly sha256: string;
}

/** A shard of the weights: its path in the artefact, its size and its sha256 in hexadecimal. */
export interface WeightPart {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  /** sha256 of each `weightPieceBytes` of it, the last of what is left: so that any host can hash weights as they arrive. */
  readonly pieces: readonly string[];
}

/** Bytes of a part that are hashed together. */
export const weightPieceBytes = 4 * 2 ** 20;

/** A tensor as it lies in the weights. */
export interface PackedTensor {
  readonly name: string;
  /** Checkpoint tensors it was packed from. */
  readonly sources: readonly string[];
  readonly encoding: string;
  readonly shape: readonly number[];
  /** Offset inside the weights region. */
  readonly offset: number;
  readonly bytes: number;
}

export interface Quantization {
  readonly weights: string;
  readonly activations: "q8" | "f32";
  readonly kv: "f32" | "f16" | "q8_0";
}

/** From `generation_config.json`; what a call leaves out falls back to these. */
export interface SamplingDefaults {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
}

export interface SpecialTokens {
  readonly bos: number | null;
  readonly eos: readonly number[];
  readonly pad: number | null;
}
