/**
 * What one kernel call costs whatever the code does: bytes touched, each counted once however often the kernel comes back to it, and
 * multiplications. Counted from the kernel's statements, and bounded by the size of what its pointers point at.
 */
import { required } from "../errors.ts";
import type { Graph, Node } from "../graph/types.ts";
import { countKernel, type Count, type Traffic } from "../kernel/count.ts";
import type { Kernel } from "../kernel/ir.ts";
import { cacheBytes } from "../kernel/library/kv-cache.ts";
import type { PanelLayout } from "../kernel/library/panels.ts";
import { packedBytes, type PackedConstant } from "../plan/constants.ts";
import type { Placement, Program, Step, StepArgument } from "../plan/program.ts";
import { cacheShape } from "../plan/state.ts";

export interface KernelCost {
  readonly bytes: number;
  /** Of matrix products, rows times the matrix; of attention, scores and weighed values; of others, every multiplication of f32 numbers. */
  readonly macs: number;
  /** Whether the products are those of 8-bit activations with 4-bit weights. */
  readonly usesAtom: boolean;
}

export interface CostContext {
  readonly graph: Graph;
  readonly program: Program;
  readonly constants: readonly PackedConstant[];
}

/** Rows of a call that follow each other up to `position`, of which `logits` want logits. */
export interface CallRows {
  readonly rows: number;
  readonly logits: number;
  readonly position: number;
}

/** Rows that step `index` of the program works on. */
export function rowsOfStep({ arguments: args }: Step, call: CallRows): number {
  return args.some((arg) => arg.kind === "count" && arg.of === "logits") ? call.logits : call.rows;
}

/** Units of a step that threads share; 0 where one thread runs it. */
export function unitCount(units: Step["units"], call: CallRows): number {
  return typeof units === "number" ? units : units === null ? 0 : call[units];
}

export function kernelCost(context: CostContext, index: number, call: CallRows): KernelCost {
  const { graph, program, constants } = context;
  const step = required(program.steps[index], `step ${index}`);
  const kernel = required(
    program.kernels.find(({ name }) => name === step.kernel),
    step.kernel,
  );
  const node = required(
    graph.nodes.find(({ outputs }) => outputs.includes(step.label)),
    `node of ${step.label}`,
  );
  const rows = rowsOfStep(step, call);
  const layout = matrixOf(kernel, step, constants);
  const topK = isByExpert(kernel) ? expertsPerRow(graph, node) : 1;
  const experts = layout ? Math.min(layout.matrices, rows * topK) : 1;
  const count = countCall(kernel, step, rows, call, experts);
  return {
    bytes: touchedBytes(context, { index, step, kernel, node, rows, call, experts }, count),
    macs: layout ? rows * topK * layout.streams * layout.rows * layout.columns : (attentionMacs(node, count, call) ?? count.multiplies),
    usesAtom: layout !== null && kernel.parameters.some(({ name }) => name === "xq"),
  };
}

/** The matrix that a product multiplies by. */
function matrixOf({ parameters }: Kernel, { arguments: args }: Step, constants: readonly PackedConstant[]): PanelLayout | null {
  const argument = args[parameters.findIndex(({ name }) => name === "weights")];
  const constant = constants.find(({ name }) => argument?.kind === "address" && name === argument.note);
  return constant?.form.kind === "panels" ? constant.form.layout : null;
}

/** Whether the kernel multiplies rows that are sorted by expert. */
function isByExpert({ parameters }: Kernel): boolean {
  return parameters.some(({ name }) => name === "groups");
}

/** Experts that a row goes to, from the router whose choice the node reads. */
function expertsPerRow({ nodes }: Graph, { inputs }: Node): number {
  const router = nodes.find(({ op, outputs }) => op === "router" && outputs.some((name) => inputs.includes(name)));
  return Number(required(router, "router of the experts").attributes.topK);
}

/** Scores and weighed values of every head at the positions that each row sees; null for a kernel that reads no cache. */
function attentionMacs({ op, attributes }: Node, { regions }: Count, { rows, position }: CallRows): number | null {
  if (op !== "attention" || (regions.cache?.loadBytes ?? 0) === 0) return null;
  const { heads, headSize, window } = attributes;
  const seen = Array.from({ length: rows }, (_, row) => Math.min(position + 1 - row, typeof window === "number" ? window : Infinity));
  return 2 * Number(heads) * Number(headSize) * seen.reduce((sum, count) => sum + count, 0);
}

/** Loops whose bounds lie in memory run once, but those over experts. */
function countCall(kernel: Kernel, step: Step, rows: number, call: CallRows, experts: number): Count {
  const bounds = kernel.parameters.flatMap(({ name }, i): [string, number][] => {
    const argument = step.arguments[i];
    return argument?.kind === "bound" ? [[name, argument.of === "from" ? 0 : unitCount(step.units, call)]] : [];
  });
  return countKernel(kernel, { rows, ...Object.fromEntries(bounds) }, { assume: { expert: experts } });
}

interface CallSite {
  readonly index: number;
  readonly step: Step;
  readonly kernel: Kernel;
  readonly node: Node;
  readonly rows: number;
  readonly call: CallRows;
  /** Experts whose weights the call reads, where rows spread evenly. */
  readonly experts: number;
}

/**
 * Parameters that point into the same buffer share its bound. How many rows an expert gets and how many positions are seen is known to memory
 * alone, but together they are the buffer: of an expert's kernel all that the call can touch, of a cache all that it can read.
 */
function touchedBytes(context: CostContext, site: CallSite, { regions }: Count): number {
  const traffic = new Map<string, Traffic & { readonly bound: number }>();
  site.kernel.parameters.forEach(({ name }, i) => {
    const argument = site.step.arguments[i];
    const moved = regions[name];
    // Scratch is the code's own need, not the call's.
    if (argument?.kind !== "address" || !moved || argument.note === "scratch") return;
    const { key, bound } = bufferAt(context, site, argument);
    const known = traffic.get(key) ?? { loadBytes: 0, storeBytes: 0 };
    traffic.set(key, { bound, loadBytes: known.loadBytes + moved.loadBytes, storeBytes: known.storeBytes + moved.storeBytes });
  });
  const touched = (isWhole: boolean, bound: number, moved: number): number =>
    isWhole && moved > 0 && bound < Infinity ? bound : Math.min(bound, moved);
  const byExpert = isByExpert(site.kernel);
  return [...traffic].reduce(
    (sum, [key, { bound, loadBytes, storeBytes }]) =>
      sum + touched(byExpert || isState(key), bound, loadBytes) + touched(byExpert, bound, storeBytes),
    0,
  );
}

function isState(note: string): boolean {
  return note.startsWith("state ");
}

/** The buffer at an address, and how many of its bytes this call can touch. */
function bufferAt(
  { program, constants }: CostContext,
  site: CallSite,
  { space, address, note }: Extract<StepArgument, { readonly kind: "address" }>,
): { key: string; bound: number } {
  const { memory, limits } = program;
  const constant = constants.find(({ name }) => name === note);
  if (constant) return { key: note, bound: packedBytes(constant.form) * shareOf(constant, site) };
  const holds = (placement: Placement): boolean =>
    space === "memory" &&
    address >= placement.offset &&
    address < placement.offset + placement.bytes &&
    placement.firstStep <= site.index &&
    placement.lastStep >= site.index;
  const placement = memory.placements.find(holds);
  const share = site.rows / limits.prefillChunk;
  if (placement) return { key: placement.name, bound: placement.bytes * share };
  if (isState(note)) return { key: note, bound: stateBytes(site) };
  return { key: note, bound: Infinity };
}

/** The share of a constant that the call reads. */
function shareOf({ form }: PackedConstant, { experts }: CallSite): number {
  return form.kind === "panels" ? Math.min(1, experts / form.layout.matrices) : 1;
}

/** Keys and values of the positions that are seen; a ring has no bound of its own, since a call reads each row of it once. */
function stateBytes({ node, call }: CallSite): number {
  if (node.op !== "attention") return Infinity;
  const shape = { ...cacheShape(node, 1), context: call.position + 1 };
  return cacheBytes(shape);
}
