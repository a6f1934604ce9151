/**
 * Kernel selection: one rule for each graph op, from a node to the kernel calls that compute it. Operands have no addresses yet.
 * Where several tiles would do, the cheapest by the cost formula is taken.
 */
import { required } from "../errors.ts";
import type { Node, ValueName, ValueType } from "../graph/types.ts";
import { countKernel } from "../kernel/count.ts";
import type { Kernel } from "../kernel/ir.ts";
import { attention, attentionScratchBytes } from "../kernel/library/attention.ts";
import { elementwise } from "../kernel/library/elementwise.ts";
import { embedding } from "../kernel/library/embedding.ts";
import { shortConvEpilogue, storeEpilogue, swigluEpilogue } from "../kernel/library/epilogues.ts";
import { gemm, tileBytes, type GemmSpec } from "../kernel/library/gemm.ts";
import { kvAppend } from "../kernel/library/kv-cache.ts";
import { panelCount, panelRows, type PanelLayout } from "../kernel/library/panels.ts";
import { quantize } from "../kernel/library/quantize.ts";
import { rmsNorm, rmsNormQuantize } from "../kernel/library/rms-norm.ts";
import { rope } from "../kernel/library/rope.ts";
import { selectRows } from "../kernel/library/select-rows.ts";
import { roundUp } from "../numeric/quantize.ts";
import { ropeTableName } from "./constants.ts";
import type { Limits, RowCount } from "./program.ts";
import { cacheShape, ringRows, type StateLayout } from "./state.ts";
import type { TargetFacts } from "./target-facts.ts";
import { noKernelFor } from "./unsupported.ts";

/** An argument whose address is not known yet. */
export type Operand =
  | { readonly kind: "value"; readonly value: ValueName; readonly part: "data" | "q" | "scales" | "sums" }
  | { readonly kind: "weight"; readonly constant: ValueName }
  | { readonly kind: "state"; readonly layer: number }
  | { readonly kind: "rows" }
  | { readonly kind: "scratch" }
  | { readonly kind: "count"; readonly of: RowCount };

/** A kernel call, its arguments by parameter name. */
export interface KernelCall {
  readonly kernel: Kernel;
  readonly label: ValueName;
  readonly arguments: Readonly<Record<string, Operand>>;
  /** Scratch memory of this call alone. */
  readonly scratchBytes: number;
  /** The kernel's loop whose turns are independent of each other, and how many it has; null for a kernel that must run as a whole. */
  readonly axis: Axis | null;
}

export interface Axis {
  readonly loop: string;
  readonly units: number | RowCount;
}

export interface SelectContext {
  readonly target: TargetFacts;
  readonly limits: Limits;
  readonly state: StateLayout;
  /** Elements from row to row of an f32 value. */
  readonly strideOf: (value: ValueName) => number;
  /** The last axis of a value. */
  readonly widthOf: (value: ValueName) => number;
  readonly typeOf: (value: ValueName) => ValueType;
  readonly layoutOf: (constant: ValueName) => PanelLayout;
}

type Rule = (node: Node, context: SelectContext) => readonly KernelCall[];

const value = (name: ValueName): Operand => ({ kind: "value", value: name, part: "data" });
const weight = (constant: ValueName): Operand => ({ kind: "weight", constant });
const rows: Operand = { kind: "rows" };
const scratch: Operand = { kind: "scratch" };

function input(node: Node, index: number): ValueName {
  return required(node.inputs[index], `input ${index} of ${node.op}`);
}

function output(node: Node): ValueName {
  return required(node.outputs[0], `output of ${node.op}`);
}

/** The count of a value's rows. */
function countOf(context: SelectContext, name: ValueName): RowCount {
  return context.typeOf(name).shape[0] === "logits" ? "logits" : "rows";
}

/** Pointers to a quantised value, by the parameter names that kernels share. */
function quantized(name: ValueName): Record<"xq" | "xd" | "xs", Operand> {
  return {
    xq: { kind: "value", value: name, part: "q" },
    xd: { kind: "value", value: name, part: "scales" },
    xs: { kind: "value", value: name, part: "sums" },
  };
}

/** A call whose rows are independent of each other, unless `more` says otherwise. */
function call(
  node: Node,
  context: SelectContext,
  kernel: Kernel,
  args: Readonly<Record<string, Operand>>,
  more: Partial<Pick<KernelCall, "scratchBytes" | "axis">> = {},
): KernelCall {
  const of = countOf(context, output(node));
  const axis = { loop: "row", units: of };
  return { kernel, label: output(node), arguments: { rows: { kind: "count", of }, ...args }, scratchBytes: 0, axis, ...more };
}

/** A matrix product with the tile that costs least. */
function product(node: Node, context: SelectContext, epilogue: GemmSpec["epilogue"], args: Readonly<Record<string, Operand>>): KernelCall {
  const [x, matrix] = [input(node, 0), input(node, 1)];
  const layout = context.layoutOf(matrix);
  const isQuantized = context.typeOf(x).encoding === "q8";
  const spec = cheapestTile(context, { layout, inputStride: isQuantized ? null : context.strideOf(x), epilogue });
  const activations = isQuantized ? quantized(x) : { x: value(x) };
  return call(
    node,
    context,
    gemm(spec),
    { ...activations, weights: weight(matrix), out: value(output(node)), tile: scratch, ...args },
    { scratchBytes: tileBytes(spec), axis: { loop: "panel", units: panelCount(layout) } },
  );
}

/** Rows of a tile for f32 activations: sixteen accumulators of four lanes. */
const floatTiles = [4, 2, 1];

function cheapestTile(context: SelectContext, spec: Omit<GemmSpec, "atom" | "rowsPerTile">): GemmSpec {
  const candidates = (spec.inputStride === null ? context.target.atoms : [null]).flatMap((atom) => {
    return (atom?.rowsPerTile ?? floatTiles)
      .filter((rowsPerTile) => rowsPerTile <= context.limits.prefillChunk)
      .map((rowsPerTile): GemmSpec => ({ ...spec, atom, rowsPerTile }));
  });
  const costs = candidates.map((candidate) => ({ candidate, cost: tileCost(candidate, context.target) }));
  const [best] = costs.toSorted((a, b) => a.cost - b.cost);
  return required(best, `dot atom for ${context.target.variant}`).candidate;
}

/**
 * The cost of a tile: vector instructions a row, of one panel and a few columns. On WASM SIMD four rows a tile beat two by 10 to 20 %
 * and one by 40 % although they spill (EPYC 9004, Node 26.10), so spilling has no term of its own.
 */
export function tileCost(spec: GemmSpec, { vectorBytes }: TargetFacts): number {
  const columns = 256;
  const sample = { ...spec, layout: { ...spec.layout, rows: panelRows, columns }, inputStride: spec.inputStride === null ? null : columns };
  const { operations, loads } = countKernel(gemm(sample), { rows: spec.rowsPerTile }, { vectorBytes });
  return (operations + loads) / spec.rowsPerTile;
}

const linear: Rule = (node, context) => {
  const { bias, residual } = node.attributes;
  const stride = context.strideOf(output(node));
  const residualValue = residual ? input(node, bias ? 3 : 2) : null;
  const epilogue = storeEpilogue({
    stride,
    bias: bias === true,
    residualStride: residualValue === null ? null : context.strideOf(residualValue),
  });
  return [
    product(node, context, epilogue, {
      ...(bias ? { bias: weight(input(node, 2)) } : {}),
      ...(residualValue === null ? {} : { residual: value(residualValue) }),
    }),
  ];
};

const gatedLinear: Rule = (node, context) => [product(node, context, swigluEpilogue({ stride: context.strideOf(output(node)) }), {})];

const gatedShortConv: Rule = (node, context) => {
  const bias = node.attributes.bias === true;
  const [taps, biases] = bias ? [input(node, 3), input(node, 4)] : [input(node, 2), null];
  const epilogue = shortConvEpilogue({
    width: Number(node.attributes.width),
    channels: roundUp(context.widthOf(output(node)), panelRows),
    bias,
    ring: ringRows(node, context.limits.rewind),
    state: context.state,
    stride: context.strideOf(output(node)),
  });
  return [
    product(node, context, epilogue, {
      taps: weight(taps),
      row_list: rows,
      ring: { kind: "state", layer: Number(node.attributes.state) },
      ...(biases === null ? {} : { projection_bias: weight(input(node, 2)), bias: weight(biases) }),
    }),
  ];
};

const normalize: Rule = (node, context) => {
  const [x, out] = [input(node, 0), output(node)];
  const width = Number(node.attributes.width);
  const epsilon = Number(node.attributes.epsilon);
  const inputStride = context.strideOf(x);
  const args = { x: value(x), weight: weight(input(node, 1)) };
  if (node.attributes.quantize === true)
    return [call(node, context, rmsNormQuantize({ width, epsilon, inputStride }), { ...args, ...quantized(out) })];
  const spec = { width, runs: context.widthOf(x) / width, epsilon, inputStride, outputStride: context.strideOf(out) };
  return [call(node, context, rmsNorm(spec), { ...args, out: value(out) })];
};

const attend: Rule = (node, context) => {
  const [q, k, v, out] = [input(node, 0), input(node, 1), input(node, 2), output(node)];
  const layer = Number(node.attributes.state);
  const cache = { ...cacheShape(node, context.limits.context), state: context.state };
  const window = node.attributes.window;
  const common = { row_list: rows, cache: { kind: "state", layer } } as const;
  const append = kvAppend({ ...cache, keyStride: context.strideOf(k), valueStride: context.strideOf(v) });
  const attending = attention({
    ...cache,
    heads: Number(node.attributes.heads),
    scale: Number(node.attributes.scale),
    window: typeof window === "number" ? window : null,
    queryStride: context.strideOf(q),
    outputStride: context.strideOf(out),
  });
  return [
    call(node, context, append, { ...common, keys: value(k), values: value(v) }, { axis: { loop: "head", units: cache.kvHeads } }),
    call(
      node,
      context,
      attending,
      { ...common, queries: value(q), scratch, out: value(out) },
      { scratchBytes: attentionScratchBytes(cache.headSize), axis: { loop: "head", units: Number(node.attributes.heads) } },
    ),
  ];
};

const turn: Rule = (node, context) => {
  const [x, out] = [input(node, 0), output(node)];
  const headSize = Number(node.attributes.headSize);
  const base = Number(node.attributes.base);
  const spec = { heads: context.widthOf(x) / headSize, headSize, inputStride: context.strideOf(x), outputStride: context.strideOf(out) };
  const tables = { low: weight(ropeTableName("low", headSize, base)), high: weight(ropeTableName("high", headSize, base)) };
  return [call(node, context, rope(spec), { x: value(x), ...tables, row_list: rows, out: value(out) })];
};

function combine(combination: "add" | "swiglu"): Rule {
  return (node, context) => {
    const [a, b, out] = [input(node, 0), input(node, 1), output(node)];
    const strides = [context.strideOf(a), context.strideOf(b)] as const;
    const kernel = elementwise({ combination, width: context.widthOf(out), strides, outputStride: context.strideOf(out) });
    return [call(node, context, kernel, { a: value(a), b: value(b), out: value(out) })];
  };
}

/** One rule an op; a graph with another op has no plan. */
const rules: Readonly<Record<string, Rule>> = {
  embedding: (node, context) => {
    const kernel = embedding({ layout: context.layoutOf(input(node, 0)), stride: context.strideOf(output(node)) });
    return [call(node, context, kernel, { row_list: rows, table: weight(input(node, 0)), out: value(output(node)) })];
  },
  "rms-norm": normalize,
  quantize: (node, context) => {
    const x = input(node, 0);
    const kernel = quantize({ width: context.widthOf(x), stride: context.strideOf(x) });
    return [call(node, context, kernel, { x: value(x), ...quantized(output(node)) })];
  },
  linear,
  "gated-linear": gatedLinear,
  "gated-short-conv": gatedShortConv,
  // A slice is a view: strides and offsets are all there is to it.
  slice: () => [],
  rope: turn,
  attention: attend,
  add: combine("add"),
  swiglu: combine("swiglu"),
  "select-rows": (node, context) => {
    const [x, out] = [input(node, 0), output(node)];
    const kernel = selectRows({ width: context.widthOf(x), inputStride: context.strideOf(x), outputStride: context.strideOf(out) });
    // Where a row goes depends on those before it.
    return [
      call(node, context, kernel, { row_list: rows, x: value(x), out: value(out), rows: { kind: "count", of: "rows" } }, { axis: null }),
    ];
  },
};

/** The kernel calls that compute a node. Throws plan/unsupported where no rule knows the op. */
export function select(node: Node, context: SelectContext): readonly KernelCall[] {
  const rule = Object.hasOwn(rules, node.op) ? rules[node.op] : undefined;
  if (rule) return rule(node, context);
  throw noKernelFor(node);
}
