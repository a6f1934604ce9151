/**
 * Random small models for property tests: every op, awkward sizes, plain or fused, with any weight encoding. The same spec built
 * plain and fused reads the same weights, and under the contract must give the same bits.
 */
import fc from "fast-check";
import { createBuilder, type GraphBuilder } from "../../compiler/graph/builder.ts";
import { kvFormats, type KvFormat } from "../../compiler/graph/kv-cache.ts";
import { isGrouped, weightEncodings } from "../../compiler/graph/operands.ts";
import type { RowSource } from "../../compiler/import/read-constant.ts";
import { roundedGroups } from "../../compiler/import/weight-store.ts";
import type { Encoding, Graph, Row, TensorSlice, ValueName } from "../../compiler/graph/types.ts";

export interface ConvSpec {
  readonly kind: "conv";
  readonly width: number;
  readonly bias: boolean;
}

export interface AttentionSpec {
  readonly kind: "attention";
  readonly kvHeads: number;
  readonly queriesPerKey: number;
  readonly halfHead: number;
  readonly window: number | null;
  readonly kv: KvFormat;
}

export interface DenseSpec {
  readonly kind: "dense";
  readonly width: number;
}

export interface MoeSpec {
  readonly kind: "moe";
  readonly experts: number;
  readonly topK: number;
  readonly inner: number;
  readonly normalize: boolean;
  readonly bias: boolean;
  readonly scale: number;
}

export interface GraphSpec {
  readonly hidden: number;
  readonly vocabulary: number;
  readonly layers: readonly { readonly operator: ConvSpec | AttentionSpec; readonly feedForward: DenseSpec | MoeSpec }[];
  readonly weights: Encoding;
  /** Quantise activations before products; needs weights in groups. */
  readonly quantize: boolean;
  readonly fused: boolean;
}

const size = (max: number) => fc.integer({ min: 1, max });

const operator: fc.Arbitrary<ConvSpec | AttentionSpec> = fc.oneof(
  fc.record({ kind: fc.constant("conv" as const), width: size(4), bias: fc.boolean() }),
  fc.record({
    kind: fc.constant("attention" as const),
    kvHeads: size(2),
    queriesPerKey: size(3),
    // Heads of one group of the cache or part of one, and of more.
    halfHead: fc.oneof(size(5), fc.constantFrom(16, 17, 33)),
    window: fc.option(size(80), { freq: 2 }),
    kv: fc.constantFrom(...kvFormats),
  }),
);

const feedForward: fc.Arbitrary<DenseSpec | MoeSpec> = fc.oneof(
  fc.record({ kind: fc.constant("dense" as const), width: size(70) }),
  size(5).chain((experts) =>
    fc.record({
      kind: fc.constant("moe" as const),
      experts: fc.constant(experts),
      topK: size(experts),
      inner: size(40),
      normalize: fc.boolean(),
      bias: fc.boolean(),
      scale: fc.constantFrom(1, 2.5, 0.1),
    }),
  ),
);

/** Models of one or two layers. */
export const graphSpecs: fc.Arbitrary<GraphSpec> = fc
  .record({
    hidden: size(70),
    vocabulary: size(20),
    layers: fc.array(fc.record({ operator, feedForward }), { minLength: 1, maxLength: 2 }),
    weights: fc.constantFrom(...weightEncodings),
    quantize: fc.boolean(),
    fused: fc.boolean(),
  })
  .map((spec) => ({ ...spec, quantize: spec.quantize && isGrouped(spec.weights) }));

/** Weights by a hash of tensor, row and column: about uniform in (-1, 1), divided by the square root of the row's length. */
export function randomRows(seed: number, lengths: ReadonlyMap<string, number>): RowSource {
  const readRows: RowSource["readRows"] = (tensor, start, count) => {
    const length = lengths.get(tensor) ?? NaN;
    const values = Float32Array.from(
      { length: count * length },
      (_, i) => hash(`${seed}/${tensor}/${start * length + i}`) / Math.sqrt(length),
    );
    return Promise.resolve(values);
  };
  return { readRows, readGroups: roundedGroups(readRows) };
}

/** Row lengths of the checkpoint tensors that a graph reads. */
export function rowLengths(graph: Graph): ReadonlyMap<string, number> {
  return new Map(graph.constants.flatMap(({ sources }) => sources.map(({ tensor, shape }) => [tensor, shape.at(-1) ?? 1] as const)));
}

/** Rows of one session from a position on. */
export function rowsFrom(tokens: readonly number[], position = 0, slot = 0): readonly Row[] {
  return tokens.map((token, i) => ({ token, slot, position: position + i, wantsLogits: true }));
}

/** A number in [-1, 1) from a text: FNV-1a, then a multiplicative finish. */
function hash(text: string): number {
  let state = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193);
  state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d);
  state = Math.imul(state ^ (state >>> 12), 0x297a2d39);
  return ((state ^ (state >>> 15)) >>> 0) / 2 ** 31 - 1;
}

interface Site {
  readonly builder: GraphBuilder;
  readonly spec: GraphSpec;
  readonly layer: number;
}

/** The graph of a spec. */
export function buildRandomGraph(spec: GraphSpec): Graph {
  const builder = createBuilder();
  const table = weight(builder, spec, "embedding", [spec.vocabulary, spec.hidden]);
  let x = builder.node("embedding", [table], "embed");
  spec.layers.forEach(({ operator: op, feedForward: ff }, layer) => {
    const site = { builder, spec, layer };
    const u = norm(site, "operator_norm", x, spec.hidden);
    const sum = op.kind === "conv" ? conv(site, op, u, x) : attention(site, op, u, x);
    const v = norm(site, "ffn_norm", sum, spec.hidden);
    x = ff.kind === "dense" ? dense(site, ff, v, sum) : moe(site, ff, v, sum);
  });
  const selected = builder.node("select-rows", [x], "selected");
  const last = norm({ builder, spec, layer: spec.layers.length }, "final_norm", selected, spec.hidden);
  return builder.finish("random", builder.node("linear", [products({ builder, spec, layer: 0 }, last), table], "logits", plain));
}

const plain = { bias: false, residual: false };

function slice(tensor: string, shape: readonly number[]): TensorSlice {
  return { tensor, shape, start: 0, count: shape.slice(0, -1).reduce((product, length) => product * length, 1) };
}

function constant(
  builder: GraphBuilder,
  name: ValueName,
  shape: readonly number[],
  encoding: Encoding,
  sources: readonly TensorSlice[],
): ValueName {
  return builder.constant({ name, type: { shape, encoding }, sources });
}

/** A weight of the spec's encoding, stacked from tensors of `parts` rows each where given. */
function weight(
  builder: GraphBuilder,
  spec: GraphSpec,
  name: ValueName,
  shape: readonly number[],
  parts?: ReadonlyMap<string, number>,
): ValueName {
  const width = shape.at(-1) ?? 1;
  const sources = parts ? [...parts].map(([tensor, rows]) => slice(tensor, [rows, width])) : [slice(name, shape)];
  return constant(builder, name, shape, spec.weights, sources);
}

function vector(builder: GraphBuilder, name: ValueName, shape: readonly number[]): ValueName {
  return constant(builder, name, shape, "f32", [slice(name, shape)]);
}

function norm({ builder, layer }: Site, name: string, x: ValueName, width: number): ValueName {
  const id = `layer.${layer}.${name}`;
  return builder.node("rms-norm", [x, vector(builder, `${id}.weight`, [width])], id, { epsilon: 1e-5, width, quantize: false });
}

/** The value that products read in place of x: its quantised form where the spec says so. */
function products({ builder, spec }: Site, x: ValueName): ValueName {
  return spec.quantize ? builder.node("quantize", [x], `${x}.q8`) : x;
}

/** x * weight^T + residual, in one node or two. */
function project(site: Site, name: string, x: ValueName, rows: number, width: number, residual: ValueName): ValueName {
  const { builder, spec, layer } = site;
  const id = `layer.${layer}.${name}`;
  const w = weight(builder, spec, `${id}.weight`, [rows, width]);
  if (spec.fused) return builder.node("linear", [products(site, x), w, residual], id, { bias: false, residual: true });
  const y = builder.node("linear", [products(site, x), w], `${id}.product`, plain);
  return builder.node("add", [y, residual], id);
}

function conv(site: Site, { width, bias }: ConvSpec, u: ValueName, residual: ValueName): ValueName {
  const { builder, spec, layer } = site;
  const { hidden } = spec;
  const id = `layer.${layer}`;
  const w = weight(builder, spec, `${id}.in_proj`, [3 * hidden, hidden]);
  const projectionBias = bias ? [vector(builder, `${id}.in_proj.bias`, [3 * hidden])] : [];
  const taps = vector(builder, `${id}.taps`, [hidden, width]);
  const convBias = bias ? [vector(builder, `${id}.taps.bias`, [hidden])] : [];
  const x = products(site, u);
  const attributes = { width, state: layer, bias };
  if (spec.fused) {
    const y = builder.node("gated-short-conv", [x, w, ...projectionBias, taps, ...convBias], `${id}.conv`, attributes);
    return project(site, "op_sum", y, hidden, hidden, residual);
  }
  const z = builder.node("linear", [x, w, ...projectionBias], `${id}.conv_in`, { bias, residual: false });
  const y = builder.node("short-conv", [z, taps, ...convBias], `${id}.conv`, attributes);
  return project(site, "op_sum", y, hidden, hidden, residual);
}

function attention(site: Site, op: AttentionSpec, u: ValueName, residual: ValueName): ValueName {
  const { builder, spec, layer } = site;
  const { kvHeads, window, kv } = op;
  const id = `layer.${layer}`;
  const headSize = 2 * op.halfHead;
  const heads = kvHeads * op.queriesPerKey;
  const sizes = { q: heads * headSize, k: kvHeads * headSize, v: kvHeads * headSize };
  const x = products(site, u);
  const { q, k, v } = spec.fused ? jointProjections(site, x, sizes) : separateProjections(site, x, sizes);
  const rotate = (name: "q" | "k", value: ValueName): ValueName =>
    builder.node("rope", [norm(site, `${name}_norm`, value, headSize)], `${id}.${name}_rope`, { headSize, base: 1e4 });
  const attributes = { heads, kvHeads, headSize, scale: headSize ** -0.5, window, state: layer, kv };
  const y = builder.node("attention", [rotate("q", q), rotate("k", k), v], `${id}.attention`, attributes);
  return project(site, "op_sum", y, spec.hidden, heads * headSize, residual);
}

type Projections<T> = Readonly<Record<"q" | "k" | "v", T>>;

function separateProjections({ builder, spec, layer }: Site, x: ValueName, sizes: Projections<number>): Projections<ValueName> {
  const one = (name: "q" | "k" | "v"): ValueName => {
    const w = weight(builder, spec, `layer.${layer}.${name}_proj`, [sizes[name], spec.hidden]);
    return builder.node("linear", [x, w], `layer.${layer}.${name}`, plain);
  };
  return { q: one("q"), k: one("k"), v: one("v") };
}

function jointProjections({ builder, spec, layer }: Site, x: ValueName, sizes: Projections<number>): Projections<ValueName> {
  const id = `layer.${layer}`;
  const parts = new Map([
    [`${id}.q_proj`, sizes.q],
    [`${id}.k_proj`, sizes.k],
    [`${id}.v_proj`, sizes.v],
  ]);
  const w = weight(builder, spec, `${id}.qkv_proj`, [sizes.q + sizes.k + sizes.v, spec.hidden], parts);
  const joint = builder.node("linear", [x, w], `${id}.qkv`, plain);
  const part = (name: "q" | "k" | "v", offset: number): ValueName =>
    builder.node("slice", [joint], `${id}.${name}`, { offset, size: sizes[name] });
  return { q: part("q", 0), k: part("k", sizes.q), v: part("v", sizes.q + sizes.k) };
}

function dense(site: Site, { width }: DenseSpec, v: ValueName, residual: ValueName): ValueName {
  const { builder, spec, layer } = site;
  const id = `layer.${layer}`;
  const x = products(site, v);
  if (spec.fused) {
    const parts = new Map([`${id}.w1`, `${id}.w3`].map((tensor) => [tensor, width]));
    const y = builder.node("gated-linear", [x, weight(builder, spec, `${id}.w13`, [2 * width, spec.hidden], parts)], `${id}.swiglu`);
    return project(site, "out", y, spec.hidden, width, residual);
  }
  const gate = builder.node("linear", [x, weight(builder, spec, `${id}.w1`, [width, spec.hidden])], `${id}.gate`, plain);
  const up = builder.node("linear", [x, weight(builder, spec, `${id}.w3`, [width, spec.hidden])], `${id}.up`, plain);
  const y = builder.node("swiglu", [gate, up], `${id}.swiglu`);
  return project(site, "out", y, spec.hidden, width, residual);
}

function moe(site: Site, { experts, topK, inner, normalize, bias, scale }: MoeSpec, v: ValueName, residual: ValueName): ValueName {
  const { builder, spec, layer } = site;
  const id = `layer.${layer}`;
  const gate = vector(builder, `${id}.router`, [experts, spec.hidden]);
  const expertBias = bias ? [vector(builder, `${id}.expert_bias`, [experts])] : [];
  const routing = [`${id}.router.experts`, `${id}.router.weights`];
  builder.nodes("router", [v, gate, ...expertBias], routing, { expertCount: experts, topK, normalize, scale, bias });
  const w = (name: string, rows: number, width: number): ValueName =>
    weight(builder, spec, `${id}.experts.${name}`, [experts, rows, width]);
  const matrices = [w("gate_up", 2 * inner, spec.hidden), w("down", spec.hidden, inner)];
  const x = products(site, v);
  if (spec.fused) return builder.node("experts", [x, ...routing, ...matrices, residual], `${id}.out`, { residual: true });
  const y = builder.node("experts", [x, ...routing, ...matrices], `${id}.ffn_out`, { residual: false });
  return builder.node("add", [residual, y], `${id}.out`);
}
