/**
 * The kernel calls of a mixture of experts. Rows are sorted by the experts that the router chose, so that prefill multiplies all rows of an
 * expert at once, and decode reads the chosen experts' weights alone: the same calls for both.
 */
import type { Node } from "../graph/types.ts";
import { routerEpsilon } from "../graph/ops/router.ts";
import { combineExperts } from "../kernel/library/combine-experts.ts";
import { storeEpilogue, swigluEpilogue } from "../kernel/library/epilogues.ts";
import { groupListBytes, groupRows, groupScratchBytes } from "../kernel/library/expert-groups.ts";
import { gatherRows } from "../kernel/library/gather-rows.ts";
import type { GemmSpec } from "../kernel/library/gemm.ts";
import { panelRows } from "../kernel/library/panels.ts";
import { quantize } from "../kernel/library/quantize.ts";
import { router, routerScratchBytes } from "../kernel/library/router.ts";
import { roundUp } from "../numeric/quantize.ts";
import { floatBuffer, quantizedBuffer, type Buffer } from "./buffers.ts";
import {
  activations,
  call,
  input,
  output,
  partsOf,
  quantized,
  scratch,
  value,
  weight,
  type KernelCall,
  type Operand,
  type Parts,
  type Rule,
} from "./kernel-call.ts";
import { productCall } from "./products.ts";

/** One kernel for gate, sigmoid, bias, choice and weights. */
export const route: Rule = (node, context) => {
  const { expertCount, topK, normalize, scale, bias } = node.attributes;
  const x = input(node, 0);
  const [experts, weights] = [output(node), output(node, 1)];
  const kernel = router({
    expertCount: Number(expertCount),
    width: context.widthOf(x),
    topK: Number(topK),
    bias: bias === true,
    epsilon: normalize === true ? routerEpsilon : null,
    scale: Number(scale),
    inputStride: context.strideOf(x),
    outputStride: context.strideOf(experts),
  });
  const args = {
    x: value(x),
    weights: weight(input(node, 1)),
    ...(bias === true ? { bias: weight(input(node, 2)) } : {}),
    scratch,
    experts: value(experts),
    out: value(weights),
  };
  return [call(node, context, kernel, args, { scratchBytes: routerScratchBytes(Number(expertCount)) })];
};

/** Sort the rows by expert, copy them to their places, gate and up with SwiGLU, down, and the weighed sum of each row. */
export const mixExperts: Rule = (node, context) => {
  const [x, experts, weights, gateUp, down] = [input(node, 0), input(node, 1), input(node, 2), input(node, 3), input(node, 4)];
  const { matrices: expertCount, columns: width, rows: inner } = context.layoutOf(gateUp);
  const isQuantized = context.typeOf(x).encoding === "q8";
  const topK = context.widthOf(experts);
  const routeStride = context.strideOf(experts);
  const copies = context.limits.prefillChunk * topK;
  const inputStride = context.strideOf(x);
  const [stride, innerStride] = [roundUp(width, panelRows), roundUp(inner, panelRows)];

  const groups = temporary(node, "groups", { bytes: groupListBytes(expertCount), parts: { data: 0 } });
  const places = temporary(node, "places", floatBuffer(context.limits.prefillChunk, routeStride));
  const gathered = temporary(node, "gathered", isQuantized ? quantizedBuffer(copies, width) : floatBuffer(copies, inputStride));
  const hidden = temporary(node, "hidden", floatBuffer(copies, innerStride));
  const hiddenGroups = temporary(node, "hidden.q8", quantizedBuffer(copies, inner));
  const outputs = temporary(node, "outputs", floatBuffer(copies, stride));
  /** An expert's product, of rows that lie sorted in a temporary. */
  const expertProduct = (matrix: string, rows: Parts, rowStride: number, epilogue: GemmSpec["epilogue"], out: Operand): KernelCall => {
    const spec = { inputStride: isQuantized ? null : rowStride, byExpert: true, epilogue };
    return productCall(node, context, matrix, spec, { ...activations(isQuantized, rows), groups: groups("data"), out });
  };

  const sort = groupRows({ expertCount, topK, stride: routeStride });
  const gather = gatherRows({ width, stride: isQuantized ? null : inputStride, topK, placeStride: routeStride });
  const target = isQuantized ? prefixed("out_", quantized(gathered)) : { out: gathered("data") };
  const residual = node.attributes.residual === true ? input(node, 5) : null;
  const combine = combineExperts({
    width,
    topK,
    inputStride: stride,
    outputStride: context.strideOf(output(node)),
    residualStride: residual === null ? null : context.strideOf(residual),
    routeStride,
  });
  return [
    call(
      node,
      context,
      sort,
      { experts: value(experts), scratch, places: places("data"), groups: groups("data") },
      // Where a row goes depends on those before it.
      { scratchBytes: groupScratchBytes(expertCount), axis: null },
    ),
    call(node, context, gather, { ...activations(isQuantized, partsOf(x)), ...target, places: places("data") }),
    expertProduct(gateUp, gathered, inputStride, swigluEpilogue({ stride: innerStride }), hidden("data")),
    ...(isQuantized
      ? [
          call(node, context, quantize({ width: inner, stride: innerStride, runs: topK }), {
            x: hidden("data"),
            ...quantized(hiddenGroups),
          }),
        ]
      : []),
    expertProduct(
      down,
      isQuantized ? hiddenGroups : hidden,
      innerStride,
      storeEpilogue({ stride, bias: false, residualStride: null }),
      outputs("data"),
    ),
    call(node, context, combine, {
      y: outputs("data"),
      weights: value(weights),
      places: places("data"),
      ...(residual === null ? {} : { residual: value(residual) }),
      out: value(output(node)),
    }),
  ];
};

function temporary(node: Node, name: string, buffer: Buffer): Parts {
  const named = { name: `${output(node)}.${name}`, buffer };
  return (part) => ({ kind: "temporary", temporary: named, part });
}

function prefixed(prefix: string, operands: Readonly<Record<string, Operand>>): Readonly<Record<string, Operand>> {
  return Object.fromEntries(Object.entries(operands).map(([name, operand]) => [`${prefix}${name}`, operand]));
}
