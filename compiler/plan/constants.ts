/**
 * How each constant of a graph lies in the weights region: the role in which an op uses a constant decides its layout. Roles are
 * facts of the graph alone, so weights can be packed before anything else is planned, and one weights file serves every target.
 */
import { internal } from "../errors.ts";
import type { Constant, Graph, Node, TensorSlice, ValueName } from "../graph/types.ts";
import { f32Bytes } from "../kernel/library/lanes.ts";
import { layoutBytes, panelRows, type PanelEncoding, type PanelLayout } from "../kernel/library/panels.ts";
import { roundUp } from "../numeric/quantize.ts";
import { ropeStride } from "../numeric/rope.ts";
import { groupFormatNamed } from "../numeric/weight-groups.ts";

/** The form of one packed constant. Vectors and taps are f32, each stream padded to whole panels with zeros. */
export type PackedForm =
  | { readonly kind: "panels"; readonly layout: PanelLayout }
  /** [streams, length padded to 16]. */
  | { readonly kind: "vector"; readonly streams: number; readonly length: number }
  /** [width, channels padded to 16], oldest tap first. */
  | { readonly kind: "taps"; readonly width: number; readonly channels: number }
  /** Cosines and sines of numeric/rope: [rows, headSize]. */
  | { readonly kind: "rope"; readonly table: "low" | "high"; readonly headSize: number; readonly base: number; readonly context: number };

export interface PackedConstant {
  readonly name: ValueName;
  readonly form: PackedForm;
  readonly shape: readonly number[];
  readonly encoding: string;
  readonly sources: readonly TensorSlice[];
}

/** Bytes of a packed constant. */
export function packedBytes(form: PackedForm): number {
  switch (form.kind) {
    case "panels":
      return layoutBytes(form.layout);
    case "vector":
      return form.streams * roundUp(form.length, panelRows) * f32Bytes;
    case "taps":
      return form.width * roundUp(form.channels, panelRows) * f32Bytes;
    case "rope":
      return (form.table === "low" ? ropeStride : Math.ceil(form.context / ropeStride)) * form.headSize * f32Bytes;
  }
}

/** Name of a RoPE table. */
export function ropeTableName(table: "low" | "high", headSize: number, base: number): ValueName {
  return `rope.${table}.${headSize}.${base}`;
}

type Role =
  /** `streams` matrices stacked in one, or in each of the experts that the first axis of three counts. */
  { readonly kind: "matrix"; readonly streams: number } | { readonly kind: "vector"; readonly streams: number } | { readonly kind: "taps" };

const matrix = (streams = 1): Role => ({ kind: "matrix", streams });
const vector = (streams = 1): Role => ({ kind: "vector", streams });

/** The role of every input that may be a constant, by op; `null` is an activation. */
const inputRoles: Readonly<Record<string, (node: Node) => readonly (Role | null)[]>> = {
  embedding: () => [matrix()],
  "rms-norm": () => [null, vector()],
  linear: ({ attributes }) => [null, matrix(), ...(attributes.bias ? [vector()] : []), null],
  "gated-linear": () => [null, matrix(2)],
  "gated-short-conv": ({ attributes }) =>
    attributes.bias ? [null, matrix(3), vector(3), { kind: "taps" }, vector()] : [null, matrix(3), { kind: "taps" }],
  router: () => [null, matrix(), vector()],
  experts: () => [null, null, null, matrix(2), matrix(), null],
};

/** All constants of the graph in the order of their first use, then the RoPE tables, as they are to be packed for `context` positions. */
export function packedConstants(graph: Graph, context: number): readonly PackedConstant[] {
  const constants = new Map(graph.constants.map((constant) => [constant.name, constant]));
  const packed = new Map<ValueName, PackedConstant>();
  const keep = (constant: PackedConstant): void => {
    const known = packed.get(constant.name);
    if (known && JSON.stringify(known.form) !== JSON.stringify(constant.form)) internal(`${constant.name} is used in two forms`);
    if (!known) packed.set(constant.name, constant);
  };
  for (const node of graph.nodes) {
    node.inputs.forEach((input, i) => {
      const constant = constants.get(input);
      if (constant) keep(describeConstant(constant, roleOf(node, i)));
    });
  }
  for (const node of graph.nodes) {
    if (node.op === "rope") for (const table of ["low", "high"] as const) keep(ropeConstant(node, table, context));
  }
  return [...packed.values()];
}

function roleOf(node: Node, input: number): Role {
  const roles = Object.hasOwn(inputRoles, node.op) ? inputRoles[node.op] : undefined;
  return roles?.(node)[input] ?? internal(`${node.op} takes no constant as input ${input}`);
}

function describeConstant({ name, type, sources }: Constant, role: Role): PackedConstant {
  const shape = type.shape.map((size) => (typeof size === "number" ? size : internal(`constant ${name} has no fixed shape`)));
  return { name, shape, encoding: type.encoding, sources, form: formOf(name, type.encoding, shape, role) };
}

function formOf(name: ValueName, encoding: string, shape: readonly number[], role: Role): PackedForm {
  const [columns = 1, rows = 1, matrices = 1] = role.kind === "vector" ? [1, ...shape] : shape.toReversed();
  switch (role.kind) {
    case "matrix":
      return {
        kind: "panels",
        layout: { encoding: panelEncoding(name, encoding), matrices, streams: role.streams, rows: rows / role.streams, columns },
      };
    case "vector":
      return { kind: "vector", streams: role.streams, length: rows / role.streams };
    case "taps":
      return { kind: "taps", width: columns, channels: rows };
  }
}

function panelEncoding(name: ValueName, encoding: string): PanelEncoding {
  const format = groupFormatNamed(encoding);
  if (format) return { weights: format.name, scales: "f16" };
  if (encoding === "f32" || encoding === "f16" || encoding === "bf16") return { weights: encoding };
  return internal(`${name} is a matrix of ${encoding}`);
}

function ropeConstant({ attributes }: Node, table: "low" | "high", context: number): PackedConstant {
  const headSize = Number(attributes.headSize);
  const base = Number(attributes.base);
  const form: PackedForm = { kind: "rope", table, headSize, base, context };
  return {
    name: ropeTableName(table, headSize, base),
    form,
    shape: [packedBytes(form) / (headSize * f32Bytes), headSize],
    encoding: "f32",
    sources: [],
  };
}
