/** The stages of a compile, in order: each takes what the ones before it made. */
import { isGrouped } from "./graph/operands.ts";
import type { Graph, WeightEncoding } from "./graph/types.ts";
import type { ImportedModel } from "./import/model.ts";
import { encodingNotes } from "./import/encoding-notes.ts";
import { readStackedGroups, readStackedRows } from "./import/read-constant.ts";
import { LfmcError, required } from "./errors.ts";
import { tensorAlignment, weightTrailerBytes, type WeightFile } from "./artefact/weight-file.ts";
import { verifyKernel } from "./kernel/verify.ts";
import { chooseEncodings, parseTensorType, runPasses, standardPasses } from "./passes/index.ts";
import { packedBytes, packedConstants, type PackedConstant } from "./plan/constants.ts";
import { packConstant, type Packed } from "./plan/pack.ts";
import { plan, type WeightPlace } from "./plan/plan.ts";
import type { Limits, MemoryPlan, Program } from "./plan/program.ts";
import type { MemoryMap } from "../runtime/manifest.ts";
import type { RefinedModel } from "./refine.ts";
import { limitsOf, numericsOf, type CompileOptions, type NumericOptions, type Numerics } from "./options.ts";
import { roundUp } from "./numeric/quantize.ts";
import type { Target, TargetVariant } from "../targets/target.ts";

/** What is known before any weight was read. */
export interface Draft extends PreparedGraph {
  readonly limits: Limits;
  readonly constants: readonly PackedConstant[];
  /** Sizes assume that all scales fit f16, as they do but for wild checkpoints. */
  readonly programs: readonly VariantProgram[];
  readonly memory: MemoryMap;
}

/** The program of one variant of a target; variants differ in their kernels' tiles and in scratch memory, nowhere else. */
export interface VariantProgram {
  readonly variant: TargetVariant;
  readonly program: Program;
}

export function draftPrograms(model: ImportedModel | RefinedModel, target: Target, options: CompileOptions): Draft {
  const prepared = preparedGraph(model, options);
  const { graph } = prepared;
  const limits = limitsOf(options, model.config);
  const constants = packedConstants(graph, limits.context);
  const { weights, weightBytes } = expectedPlaces(constants);
  const trailerBytes = target.weights.trailer ? weightTrailerBytes : 0;
  const programs = planPrograms({ graph, limits, target, weights, weightBytes: weightBytes + trailerBytes });
  const memory = memoryOf(programs, target, options.maxMemory);
  verifyKernels(programs);
  return { ...prepared, limits, constants, programs, memory };
}

/** A plan vouches for its kernels; after the memory check, because addresses beyond the target's reach make no legal kernel. */
export function verifyKernels(programs: readonly VariantProgram[]): void {
  for (const { program } of programs) program.kernels.forEach(verifyKernel);
}

/** A graph after all passes, and the numerics that it was given. */
export interface PreparedGraph {
  readonly graph: Graph;
  readonly numerics: Numerics;
  /** Whether any matrix is rounded for a text. */
  readonly isCalibrated: boolean;
  readonly warnings: readonly string[];
  /** What becomes of quantised tensors: import/encoding-notes. */
  readonly notes: readonly string[];
}

/** What the interpreter runs under the contract, and what is planned. Throws usage/flag for tensor types that cannot be met. */
export function preparedGraph(
  {
    graph,
    store,
    formats,
    choices = [],
    isCalibrated = false,
  }: Pick<ImportedModel, "graph" | "store"> & Partial<Pick<RefinedModel, "formats" | "choices" | "isCalibrated">>,
  options: NumericOptions,
): PreparedGraph {
  const keepOf = (tensor: string): WeightEncoding => required(store.tensors.get(tensor), `tensor ${tensor}`).keep;
  const holdsGroups = [...store.tensors.values()].some(({ keep }) => isGrouped(keep));
  const numerics = numericsOf(options, holdsGroups);
  const { encodingOf, warnings } = chooseEncodings(graph, {
    quant: numerics.quant,
    ...(formats ? { formats } : {}),
    tensorTypes: numerics.tensorTypes.map(parseTensorType),
    keepOf,
  });
  const passes = standardPasses({ weights: encodingOf, activations: numerics.activations, kv: numerics.kv });
  const prepared = runPasses(graph, passes);
  return { graph: prepared, numerics, isCalibrated, warnings, notes: [...choices, ...encodingNotes(prepared, store.tensors)] };
}

interface PlanInput {
  readonly graph: Graph;
  readonly limits: Limits;
  readonly target: Target;
  readonly weights: ReadonlyMap<string, WeightPlace>;
  readonly weightBytes: number;
}

/** One program for each variant of the target. */
export function planPrograms({ target, ...input }: PlanInput): readonly VariantProgram[] {
  return target.variants.map((variant) => {
    const { name, atoms, vectors, threads } = variant;
    const facts = { variant: name, atoms, vectors, threads, weights: target.weights.place };
    return { variant, program: plan({ ...input, target: facts }) };
  });
}

/** Where packed constants lie if every tensor has the form that its shape suggests. */
function expectedPlaces(constants: readonly PackedConstant[]): { weights: ReadonlyMap<string, WeightPlace>; weightBytes: number } {
  const weights = new Map<string, WeightPlace>();
  let weightBytes = 0;
  for (const { name, form } of constants) {
    const bytes = packedBytes(form);
    weights.set(name, { offset: weightBytes, bytes, form });
    weightBytes = roundUp(weightBytes + bytes, tensorAlignment);
  }
  return { weights, weightBytes };
}

/** Packs all constants into `file`, tensor by tensor. Progress is in bytes of the weights. */
export async function packWeights(
  constants: readonly PackedConstant[],
  store: ImportedModel["store"],
  file: WeightFile,
  onProgress: CompileOptions["onProgress"],
): Promise<ReadonlyMap<string, WeightPlace>> {
  const places = new Map<string, WeightPlace>();
  const { weightBytes: total } = expectedPlaces(constants);
  let packed = 0;
  for (const constant of constants) {
    const report = (bytes: number): void => {
      packed += bytes;
      onProgress?.({ stage: "packing", done: Math.min(packed, total), total, tensor: constant.name });
    };
    report(0);
    const { form, pieces } = await packConstant(constant, {
      rows: (start, count) => readStackedRows(store, constant.sources, start, count),
      groups: (format, start, count) => readStackedGroups(store, constant.sources, format, start, count),
    });
    places.set(constant.name, { ...(await file.append(counted(pieces, report))), form });
  }
  return places;
}

/** The same pieces; `report` gets the bytes of each when the next is asked for. */
async function* counted(pieces: Packed["pieces"], report: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    yield piece;
    report(piece.length);
  }
}

/**
 * The artefact's one memory, in whole pages, and each thread's scratch: what the largest of its variants takes. Throws plan/memory where that, with
 * weights that lie apart and one thread's scratch, is more than asked for, or than the target can address, and says what takes the room.
 */
export function memoryOf(programs: readonly VariantProgram[], target: Target, maxMemory: number | undefined): MemoryMap {
  const { memory, limits } = required(programs[0], "variant").program;
  const largest = (figure: (plan: MemoryPlan) => number): number => Math.max(...programs.map(({ program }) => figure(program.memory)));
  const { page } = target.memory;
  const memoryBytes = roundUp(
    largest((plan) => plan.bytes),
    page,
  );
  const threadBytes = largest((plan) => plan.threadBytes);
  const scratch = { offset: memory.scratch.offset, bytes: largest((plan) => plan.scratch.bytes) };
  const bytes = memoryBytes + threadBytes + (target.weights.place === "apart" ? memory.weights.bytes : 0);
  const parts = `weights ${memory.weights.bytes}, sessions ${memory.state.bytes}, scratch ${scratch.bytes}, logits ${memory.logits.bytes}`;
  const hint = `lower --context (now ${limits.context}), --sessions (${limits.sessions}) or --prefill-chunk (${limits.prefillChunk}), or quantise further`;
  if (maxMemory !== undefined && bytes > maxMemory) {
    throw new LfmcError("plan/memory", `the plan takes ${bytes} bytes (${parts}), more than ${maxMemory}`, {
      subject: "--max-memory",
      hint,
    });
  }
  if (bytes > target.memory.largest) {
    const fact = `the plan takes ${bytes} bytes (${parts}); the target's largest memory holds ${target.memory.largest}`;
    throw new LfmcError("plan/memory", fact, { subject: target.name, hint });
  }
  const { weights, state, rows, logits, choices } = memory;
  const pages = target.name === "wasm-simd" ? memoryBytes / page : 0;
  return { bytes: memoryBytes, pages, threadBytes, weights, state, rows, logits, choices, scratch };
}
