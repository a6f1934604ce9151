/**
 * Kernel selection: one rule for each graph op, from a node to the kernel calls that compute it. Operands have no addresses yet.
 */
import { internal } from "../errors.ts";
import type { Node, ValueName } from "../graph/types.ts";
import { argmax } from "../kernel/library/argmax.ts";
import { scratchLayout } from "../kernel/library/attention-scratch.ts";
import { attentionTile } from "../kernel/library/attention-tiles.ts";
import { attention } from "../kernel/library/attention.ts";
import { elementwise } from "../kernel/library/elementwise.ts";
import { embedding } from "../kernel/library/embedding.ts";
import { shortConvEpilogue, storeEpilogue, swigluEpilogue } from "../kernel/library/epilogues.ts";
import { kvAppend } from "../kernel/library/kv-cache.ts";
import { panelRows } from "../kernel/library/panels.ts";
import { quantize } from "../kernel/library/quantize.ts";
import { rmsNorm, rmsNormQuantize } from "../kernel/library/rms-norm.ts";
import { rope } from "../kernel/library/rope.ts";
import { selectRows } from "../kernel/library/select-rows.ts";
import { roundUp } from "../numeric/quantize.ts";
import { ropeTableName } from "./constants.ts";
import { mixExperts, route } from "./experts.ts";
import {
  call,
  choices,
  input,
  output,
  partsOf,
  quantized,
  rows,
  scratch,
  value,
  weight,
  type KernelCall,
  type Rule,
  type SelectContext,
} from "./kernel-call.ts";
import { product } from "./products.ts";
import { cacheShape, ringRows } from "./state.ts";

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
    return [call(node, context, rmsNormQuantize({ width, epsilon, inputStride }), { ...args, ...quantized(partsOf(out)) })];
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
  const heads = Number(node.attributes.heads);
  const axis = { loop: "head", units: cache.kvHeads };
  const attending = attention({
    ...cache,
    heads,
    tile: attentionTile(heads / cache.kvHeads, context.target.vectors),
    scale: Number(node.attributes.scale),
    window: typeof window === "number" ? window : null,
    queryStride: context.strideOf(q),
    outputStride: context.strideOf(out),
  });
  return [
    call(node, context, append, { ...common, keys: value(k), values: value(v) }, { axis }),
    call(
      node,
      context,
      attending,
      { ...common, queries: value(q), scratch, out: value(out) },
      { scratchBytes: scratchLayout({ ...cache, heads }).bytes, axis },
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

/** One rule an op; of the graph ops only those that the passes always fuse (short-conv) have none. */
const rules: Readonly<Record<string, Rule>> = {
  embedding: (node, context) => {
    const kernel = embedding({ layout: context.layoutOf(input(node, 0)), stride: context.strideOf(output(node)) });
    return [call(node, context, kernel, { row_list: rows, table: weight(input(node, 0)), out: value(output(node)) })];
  },
  "rms-norm": normalize,
  quantize: (node, context) => {
    const x = input(node, 0);
    const kernel = quantize({ width: context.widthOf(x), stride: context.strideOf(x), runs: 1 });
    return [call(node, context, kernel, { x: value(x), ...quantized(partsOf(output(node))) })];
  },
  linear,
  "gated-linear": gatedLinear,
  "gated-short-conv": gatedShortConv,
  // A slice is a view: strides and offsets are all there is to it.
  slice: () => [],
  rope: turn,
  attention: attend,
  router: route,
  experts: mixExperts,
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

/** The kernel calls that compute a node. */
export function select(node: Node, context: SelectContext): readonly KernelCall[] {
  const rule = Object.hasOwn(rules, node.op) ? rules[node.op] : undefined;
  return rule ? rule(node, context) : internal(`no kernel for ${node.op}`);
}

/** The last call of a program: the likeliest token of each row of logits. */
export function choose(logits: ValueName, context: SelectContext): KernelCall {
  return {
    kernel: argmax({ width: context.widthOf(logits), stride: context.strideOf(logits) }),
    label: logits,
    arguments: { x: value(logits), out: choices, rows: { kind: "count", of: "logits" } },
    scratchBytes: 0,
    axis: { loop: "row", units: "logits" },
  };
}
