/** What can be asked of a compile, with the defaults of the command line. */
import { isBuiltin } from "node:module";
import { LfmcError } from "./errors.ts";
import type { ModelConfig } from "./import/config.ts";
import type { WeightFormat } from "./passes/index.ts";
import type { Limits } from "./plan/program.ts";
import { panelRows } from "./kernel/library/panels.ts";
import { roundUp } from "./numeric/quantize.ts";
import type { TargetName } from "./targets.ts";

export const kvFormatNames = ["f32", "f16", "q8_0"] as const;
export type Kv = (typeof kvFormatNames)[number];
export const activationFormats = ["q8", "f32"] as const;
export type Activations = (typeof activationFormats)[number];
export const emitStages = ["graph", "kernels", "plan", "wat"] as const;
export type EmitStage = (typeof emitStages)[number];
export const engineFeatures = ["simd128", "relaxed", "threads", "memory64"] as const;
export type EngineFeature = (typeof engineFeatures)[number];

/** How a model's numbers are stored and multiplied: what decides the bits. */
export interface NumericOptions {
  /** Encoding of the matrices. */
  readonly quant?: WeightFormat;
  /** Exceptions, `GLOB=FORMAT` over checkpoint tensor names; later ones win. */
  readonly tensorTypes?: readonly string[];
  /** What products with grouped weights read: 8-bit groups, or f32. */
  readonly activations?: Activations;
  /** Encoding of the KV cache. */
  readonly kv?: Kv;
  /** A text, or a .json list of token ids, by which weights in groups are rounded to do least harm. */
  readonly calibrate?: string;
  /** Mean bits of a weight, scales included: matrices then have formats of their own, chosen to do least harm. */
  readonly budget?: number;
}

/** Numeric options that always have a value. */
export type Numerics = Required<Omit<NumericOptions, "calibrate" | "budget">> & Pick<NumericOptions, "calibrate" | "budget">;

/** `done` of `total`: bytes of packing, tokens or matrices of what goes before it. */
export interface Progress {
  readonly stage: "sampling" | "calibrating" | "measuring" | "packing";
  readonly done: number;
  readonly total: number;
  /** What is packed. */
  readonly tensor?: string;
}

export interface CompileOptions extends NumericOptions {
  /** A model's folder, its config.json, or a .gguf file. */
  readonly model: string;
  readonly target: TargetName;
  /** Folder of the artefact; not needed for a dry run. */
  readonly output?: string;
  /** Positions a session can hold. */
  readonly context?: number;
  /** Most rows in one forward call. */
  readonly prefillChunk?: number;
  readonly sessions?: number;
  /** What a WebAssembly engine may be asked for; by default everything that helps. */
  readonly features?: readonly EngineFeature[];
  /** Of the target's variants, those to emit; by default all. */
  readonly variants?: readonly string[];
  /** A file of `lfmc tune`: the tiles of products. */
  readonly tuned?: string;
  /** Bytes that the plan may take. */
  readonly maxMemory?: number;
  readonly name?: string;
  /** Seed: compile the shape with generated weights. */
  readonly randomWeights?: number;
  /** Largest weights file, in bytes; by default 25,000,000 where a target's weights may be several files. */
  readonly shardSize?: number;
  /** Put the weights into each WebAssembly module instead of files; for small models. */
  readonly embedWeights?: boolean;
  /** Make the artefact of a C target a Python project too. */
  readonly python?: boolean;
  /** Stages to write into the artefact as text. */
  readonly emit?: readonly EmitStage[];
  /** Plan only: nothing is read but shapes, and nothing is written. */
  readonly dryRun?: boolean;
  /** Called as work is done. */
  readonly onProgress?: (progress: Progress) => void;
}

const defaultContext = 4096;
const defaultChunk = 128;
/** Of a mixture an expert sees only some of a call's rows: as many calls' worth of them, up to this, are read at once. */
const largestDefaultChunk = 512;
const largestChunk = 4096;
/** Positions that a session can take back at no cost. */
const defaultRewind = 64;
/** Room for logits: a call asks for few of them, and a large vocabulary times a whole chunk would be the largest buffer of all. */
const logitBytes = 8 * 2 ** 20;
/** Smaller shards would only make more files than a folder should hold. */
const smallestShard = 4096;
/** The most bytes that every host reads at once. */
const largestShard = 2 ** 31 - 1;
/** Of weights inside a module, which hosts hold whole while they compile it, and as long as it lives. */
const largestEmbedded = 2 ** 28;

/** Numeric options with their defaults: groups that a checkpoint holds are kept; the cache keeps f32 where weights or activations do, else f16. */
export function numericsOf(options: NumericOptions, holdsGroups: boolean): Numerics {
  const { quant = holdsGroups ? "keep" : "q4_0", tensorTypes = [], activations = "q8", kv } = options;
  const whole = quant === "f32" || activations === "f32";
  return { ...options, quant, tensorTypes, activations, kv: kv ?? (whole ? "f32" : "f16") };
}

const packageNames = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/;

/** A model's name as that of a package and of its files. */
export function packageName(model: string): string {
  const legal = model.replace(/[^A-Za-z0-9_.-]+/g, "-").slice(0, 100);
  const rest = legal.replace(/^[^A-Za-z0-9]+/, "").slice(0, 90);
  return isPackageName(legal) ? legal : rest === "" ? "model" : `model-${rest}`;
}

/** Whether npm takes it, in lower case, and hosts find the package by it. */
function isPackageName(name: string): boolean {
  const taken = name.toLowerCase();
  return packageNames.test(name) && !isBuiltin(taken) && !["node_modules", "favicon.ico"].includes(taken);
}

/** Refuses options that cannot be met, before anything is read. Throws usage/flag. */
export function checkOptions({ output, dryRun, name, maxMemory, shardSize, embedWeights, python, target }: CompileOptions): void {
  if ((output === undefined && !dryRun) || output === "") {
    throw new LfmcError("usage/flag", "is missing", { subject: "-o", hint: "name the artefact's folder, or pass --dry-run" });
  }
  if (name !== undefined && !isPackageName(name)) {
    throw new LfmcError("usage/flag", `${JSON.stringify(name)} is no package name`, {
      subject: "--name",
      hint: "use letters, digits, dots, dashes and underscores, a letter or digit first, and no name of a module that hosts have",
    });
  }
  if (maxMemory !== undefined) wholeNumber("--max-memory", maxMemory, Number.MAX_SAFE_INTEGER);
  if (shardSize !== undefined) wholeNumber("--shard-size", shardSize, largestShard, smallestShard);
  if (embedWeights && shardSize !== undefined) {
    throw new LfmcError("usage/flag", "does not go with --embed-weights, which writes no weights files", {
      subject: "--shard-size",
      hint: "leave one of them out",
    });
  }
  if (python && target === "wasm-simd") {
    throw new LfmcError("usage/flag", `does not go with --target ${target}: the package calls a C library`, {
      subject: "--python",
      hint: "leave it out, or compile with --target c, c-x86 or c-arm",
    });
  }
}

/** Refuses to put more weights into a module than hosts take. Throws usage/flag. */
export function checkEmbedded({ embedWeights }: CompileOptions, weightBytes: number): void {
  if (!embedWeights || weightBytes <= largestEmbedded) return;
  throw new LfmcError("usage/flag", `is for at most ${largestEmbedded} bytes; these weights take ${weightBytes}`, {
    subject: "--embed-weights",
    hint: "leave it out: weights then lie in files of at most 25 MB, or of --shard-size BYTES",
  });
}

/** What of a model its limits depend on. */
type ModelSize = Pick<ModelConfig, "maxPositions" | "vocabSize" | "moe">;

/** The limits of a program: what the caller asked for, else the defaults. Throws usage/flag. */
export function limitsOf(options: CompileOptions, model: ModelSize): Limits {
  const context = wholeNumber("--context", options.context ?? Math.min(model.maxPositions, defaultContext), model.maxPositions);
  const prefillChunk = Math.min(wholeNumber("--prefill-chunk", options.prefillChunk ?? chunkFor(model), largestChunk), context);
  const sessions = wholeNumber("--sessions", options.sessions ?? 1, 65536);
  const rowBytes = 4 * roundUp(model.vocabSize, panelRows);
  const logitRows = Math.max(1, Math.min(prefillChunk, Math.floor(logitBytes / rowBytes)));
  return { context, prefillChunk, logitRows, sessions, rewind: Math.min(defaultRewind, context) };
}

/** So many rows that the largest matrices are worth reading, those of an average expert too. */
function chunkFor({ moe }: ModelSize): number {
  return moe ? Math.min(largestDefaultChunk, defaultChunk * Math.ceil(moe.expertCount / moe.expertsPerToken)) : defaultChunk;
}

function wholeNumber(flag: string, value: number, largest: number, smallest = 1): number {
  if (Number.isSafeInteger(value) && value >= smallest && value <= largest) return value;
  throw new LfmcError("usage/flag", `${value} is not a whole number from ${smallest} to ${largest}`, {
    subject: flag,
    hint: "give another value",
  });
}
