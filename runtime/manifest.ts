/**
 * The artefact contract: what `manifest.json` says. The compiler writes it, the runtime obeys it; every address is a byte offset
 * into the module's one memory, fixed by the compiler's plan.
 */

export const manifestFormat = "lfmc-artefact";
/** The version of the manifest that this runtime reads. */
export const manifestVersion = 2;

export interface Manifest {
  /** What tells the file from others. */
  readonly format: typeof manifestFormat;
  /** Of the format. */
  readonly version: typeof manifestVersion;
  /** Version of the compiler that wrote the artefact. */
  readonly lfmc: string;
  readonly name: string;
  readonly target: "wasm-simd" | "c" | "c-x86" | "c-arm";
  /** The model's shape. */
  readonly model: ModelFacts;
  /** What fits into a session and into one call. */
  readonly limits: Limits;
  /** Where everything lies in the memory. */
  readonly memory: MemoryMap;
  /** The code, by instruction set. */
  readonly variants: readonly Variant[];
  /** Files that a library is built from, beside those of the variants; none where the variants are modules. */
  readonly sources: readonly SourceFile[];
  /** Parts of the weights region, to be laid one after the other from its offset; none where the modules hold the weights (`isEmbedded`). */
  readonly weights: readonly WeightPart[];
  /** What lies in the weights region. */
  readonly tensors: readonly PackedTensor[];
  /** How numbers are stored. */
  readonly quantization: Quantization;
  /** What calls that leave a setting out fall back to. */
  readonly sampling: SamplingDefaults;
  /** Ids with a meaning of their own. */
  readonly tokens: SpecialTokens;
  /** File names inside the artefact, null where the model has none. */
  readonly files: { readonly tokenizer: string | null; readonly tokenizerConfig: string | null; readonly chatTemplate: string | null };
  /** `manifestChecksum` of what must be as it was compiled; sampling defaults, tokens and files may be edited. */
  readonly checksum: string;
}

export interface ModelFacts {
  /** Its architecture. */
  readonly type: "lfm2" | "lfm2_moe";
  /** Token ids are below it; logits are vectors of so many f32. */
  readonly vocabSize: number;
  /** Channels of a position between two layers. */
  readonly hiddenSize: number;
  /** Short convolutions and attention together. */
  readonly layers: number;
  /** Before quantisation. */
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
  /** Where it begins, in bytes. */
  readonly offset: number;
  /** Its size. */
  readonly bytes: number;
}

/** Session slots, one after the other: slot s starts at offset + s * slotBytes. Offsets inside it are from a slot's start. */
export interface StateMap extends Region {
  /** A session's share. */
  readonly slotBytes: number;
  /** What a step overwrites as it goes: the short convolutions' recent rows. The rest of a slot, the KV cache, keeps every position. */
  readonly rings: readonly Ring[];
  /** Copies of the rings' rows, for rewinding far. */
  readonly checkpoints: Checkpoints;
}

/** A convolution's recent rows: that of position p is row p mod rows. A step at p reads the `reads` rows before its own. */
export interface Ring {
  /** From the slot's start, in bytes. */
  readonly offset: number;
  /** How many it holds. */
  readonly rows: number;
  /** Bytes from a row to the next. */
  readonly rowBytes: number;
  /** Rows before its own that a step reads. */
  readonly reads: number;
}

/**
 * Room for copies of the rings' rows before every `interval`th position: checkpoint k (from 1) holds, ring by ring, the `reads` rows
 * before position k * interval, oldest first. The runtime writes them, and rewinds to them.
 */
export interface Checkpoints extends Region {
  /** Positions from one to the next. */
  readonly interval: number;
}

/**
 * Code for one instruction set. A WebAssembly module imports its memory as `env.memory` and exports `forward(rowCount: i32, logitCount: i32)`,
 * and `embed()` where it holds the weights; it says which variant it is in a section (`moduleLabel`). A C source is one unit of the artefact's
 * library.
 */
export interface Variant {
  /** `simd128`, `relaxed`, `scalar`, `avx2`, … */
  readonly name: string;
  /** File name in the artefact. */
  readonly module: string;
  /** What it needs of the engine or the processor. */
  readonly features: readonly string[];
  /** Whether threads share its work. */
  readonly threads: boolean;
  /** Length of the file. */
  readonly bytes: number;
  /** Of the file, in hexadecimal. */
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
  /** Below the artefact. */
  readonly path: string;
  /** In hexadecimal. */
  readonly sha256: string;
}

/** A shard of the weights: its path in the artefact, its size and its sha256 in hexadecimal. */
export interface WeightPart {
  /** Below the artefact. */
  readonly path: string;
  /** Length of the file. */
  readonly bytes: number;
  /** Of the file, in hexadecimal. */
  readonly sha256: string;
  /** sha256 of each `weightPieceBytes` of it, the last of what is left: so that any host can hash weights as they arrive. */
  readonly pieces: readonly string[];
}

/** Bytes of a part that are hashed together. */
export const weightPieceBytes = 4 * 2 ** 20;

/** A tensor as it lies in the weights. */
export interface PackedTensor {
  /** Its name in the graph. */
  readonly name: string;
  /** Checkpoint tensors it was packed from. */
  readonly sources: readonly string[];
  /** `q4_0`, `f32`, … */
  readonly encoding: string;
  /** Rows first. */
  readonly shape: readonly number[];
  /** Offset inside the weights region. */
  readonly offset: number;
  /** Its size, padding included. */
  readonly bytes: number;
}

export interface Quantization {
  /** Of the matrices. */
  readonly weights: string;
  /** Of what the quantised matrices are multiplied with. */
  readonly activations: "q8" | "f32";
  /** Of the key and value cache. */
  readonly kv: "f32" | "f16" | "q8_0";
}

/** From `generation_config.json`; what a call leaves out falls back to these. */
export interface SamplingDefaults {
  /** 0 takes always the likeliest token. */
  readonly temperature: number;
  /** 0 is off. */
  readonly topK: number;
  /** 1 is off. */
  readonly topP: number;
  /** 0 is off. */
  readonly minP: number;
  /** 1 is off. */
  readonly repetitionPenalty: number;
}

export interface SpecialTokens {
  /** Goes before a text at position 0. */
  readonly bos: number | null;
  /** End a generation. */
  readonly eos: readonly number[];
  /** Fills batches in training. */
  readonly pad: number | null;
}
