/**
 * The C library round the generated units: the files of `library/` with the plan's numbers in them. They are C, CMake and make that a
 * person can read; every identifier in them begins with `lfm_` or `LFM_`, which becomes the model's own prefix, so that one program can hold
 * several models. `@key@` stands for a value of the plan.
 */
import { readFileSync } from "node:fs";
import { internal } from "../../compiler/errors.ts";
import type { Limits, MemoryMap } from "../../runtime/manifest.ts";

export interface ProjectInput {
  /** As in the manifest: letters, digits, `_`, `.` and `-`. */
  readonly name: string;
  /** Of the units, worst first. */
  readonly variants: readonly string[];
  readonly model: {
    readonly type: string;
    readonly parameters: number;
    readonly vocabSize: number;
    /** The manifest's, in hexadecimal. */
    readonly hash: string;
    readonly eos: readonly number[];
  };
  readonly limits: Limits;
  /** Offsets count from the memory's start, where the weights are not. */
  readonly memory: Pick<MemoryMap, "bytes" | "rows" | "logits" | "choices" | "state">;
  /** Of each thread's scratch. */
  readonly threadBytes: number;
  /** Of weights.bin: its length with the trailer, and the sha256 (hexadecimal) of all before it. */
  readonly weights: { readonly bytes: number; readonly sha256: string };
  readonly lfmcVersion: string;
}

export interface ProjectFile {
  readonly path: string;
  readonly text: string;
}

/** What a processor must have for a variant, as the C library names it. */
const needs: Readonly<Record<string, string>> = {
  scalar: "0",
  avx2: "LFM_CPU_AVX2",
  "avx-vnni": "LFM_CPU_AVX2 | LFM_CPU_AVX_VNNI",
  "avx512-vnni": "LFM_CPU_AVX2 | LFM_CPU_AVX512",
  amx: "LFM_CPU_AVX2 | LFM_CPU_AVX512 | LFM_CPU_AMX",
  neon: "0",
  "neon-dot": "LFM_CPU_DOTPROD",
  "neon-i8mm": "LFM_CPU_DOTPROD | LFM_CPU_I8MM",
};

const libraryUnits = ["lfm.c", "lfm_session.c", "lfm_sample.c", "lfm_platform.c", "lfm_threads.c", "lfm_weights.c"];
const commandUnits = ["main.c", "lfm_command.c", "lfm_guess.c", "lfm_bench.c"];
const headers = ["lfm.h", "lfm_internal.h", "lfm_command.h", "lfm_guess.h"];
const buildFiles = ["CMakeLists.txt", "Makefile", "lfmConfig.cmake.in", "lfm.pc.in"];

/** The model's part of every C name: lower case, `_` for whatever a name in C cannot hold. */
export function symbolOf(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, "_");
}

/** The file of a variant's unit. */
export function unitPath(name: string, variant: string): string {
  return `${name}_${variant.replaceAll("-", "_")}.c`;
}

/** The C name of a variant's unit, before it has its prefix. */
export function unitSymbol(variant: string): string {
  return `lfm_unit_${variant.replaceAll("-", "_")}`;
}

/** Gives the identifiers of a C file the model's prefix, and its own headers the model's name. */
export function withPrefix(text: string, name: string): string {
  const symbol = symbolOf(name);
  return text
    .replace(/"lfm(_\w+)?\.h"/g, `"${name}$1.h"`)
    .replace(/\blfm_/g, `lfm_${symbol}_`)
    .replace(/\bLFM_/g, `LFM_${symbol.toUpperCase()}_`);
}

/** Everything of the C project but the units, the weights and the manifest: sources, headers and build files. */
export function projectFiles(input: ProjectInput): readonly ProjectFile[] {
  const values = { ...planValues(input), ...fileValues(input) };
  return [...headers, ...libraryUnits, ...commandUnits, ...buildFiles].map((path) => {
    const template = readFileSync(new URL(`library/${path}`, import.meta.url), "utf8");
    return { path: named(path, input.name), text: fill(withPrefix(template, input.name), values) };
  });
}

/** A template's name as the model's file. */
function named(path: string, name: string): string {
  return path.replace(/^lfm/, name);
}

/** Puts the values in; names in capitals are left to CMake. */
export function fill(text: string, values: Readonly<Record<string, string | number>>): string {
  return text.replace(/@([a-z]\w*)@/g, (_, key: string) => String(values[key] ?? internal(`no value for @${key}@`)));
}

function planValues({ name, variants, model, limits, memory, threadBytes, weights, lfmcVersion }: ProjectInput) {
  const { rows, logits, choices, state } = memory;
  const { rings, checkpoints } = state;
  const units = variants.map((variant) => `  {&${unitSymbol(variant)}, ${needs[variant] ?? internal(`no needs of ${variant}`)}},`);
  return {
    name,
    lfmc_version: lfmcVersion,
    model_type: model.type,
    parameters: model.parameters,
    vocabulary: model.vocabSize,
    context: limits.context,
    chunk: limits.prefillChunk,
    logit_rows: limits.logitRows,
    sessions: limits.sessions,
    rewind: limits.rewind,
    memory_bytes: memory.bytes,
    thread_bytes: threadBytes,
    rows_offset: rows.offset,
    logits_offset: logits.offset,
    logits_stride: logits.strideBytes,
    choices_offset: choices.offset,
    state_offset: state.offset,
    slot_bytes: state.slotBytes,
    weight_bytes: weights.bytes,
    weights_sha256: hexParts(weights.sha256, 2).join(", "),
    model_hash: hexParts(model.hash, 8).join(", "),
    // C has no empty tables: a table without rows has one that is not counted.
    ring_count: rings.length,
    rings: rings.length === 0 ? "  {0, 0, 1, 0}," : rings.map(ringRow).join("\n"),
    checkpoint_interval: checkpoints.interval,
    checkpoint_offset: checkpoints.offset,
    checkpoint_end: checkpoints.offset + checkpoints.bytes,
    checkpoint_bytes: rings.reduce((sum, { reads, rowBytes }) => sum + reads * rowBytes, 0),
    eos: model.eos.length === 0 ? "-1" : model.eos.join(", "),
    unit_declarations: withPrefix(`extern const lfm_unit ${variants.map(unitSymbol).join(", ")};`, name),
    units: withPrefix(units.join("\n"), name),
  };
}

function fileValues({ name, variants }: ProjectInput) {
  const list = (paths: readonly string[]): string => paths.map((path) => named(path, name)).join(" ");
  const weightsSource = named("lfm_weights.c", name);
  return {
    library_sources: [list(libraryUnits), ...variants.map((variant) => unitPath(name, variant))].join(" "),
    command_sources: list(commandUnits),
    headers: list(headers),
    weights_source: weightsSource,
    weights_object: weightsSource.replace(/c$/, "o"),
  };
}

function ringRow({ offset, rows, rowBytes, reads }: ProjectInput["memory"]["state"]["rings"][number]): string {
  return `  {${offset}ULL, ${rowBytes}ULL, ${rows}, ${reads}},`;
}

/** The numbers that `digits` hexadecimal digits each make. */
function hexParts(hex: string, digits: number): readonly string[] {
  return Array.from({ length: hex.length / digits }, (_, i) => `0x${hex.slice(i * digits, (i + 1) * digits)}${digits === 8 ? "u" : ""}`);
}
