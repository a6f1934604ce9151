/**
 * Slices fold into what they are cut from:
 *   slice of all of x                       ->  x
 *   slice(slice(x, first), second)          ->  slice(x, both offsets)
 *   slice(x W^T), which nothing else reads  ->  x (those rows of W)^T
 * A slice copies numbers and a product's outputs are sums of their own, so no bit changes. It is all the constant folding there is to do:
 * a pass never sees a weight's value, and every op but these reads something that only a call brings.
 */
import { required } from "../errors.ts";
import type { Constant, Node, TensorSlice } from "../graph/types.ts";
import { rewriting, type Rule } from "./rules.ts";
import { plainLinear } from "./stack-rows.ts";
import { input, output } from "./surroundings.ts";

export const foldSlices = rewriting("fold-slices", (slice, around) => {
  if (slice.op !== "slice") return null;
  return wholeSlice(slice, around) ?? sliceOfSlice(slice, around) ?? sliceOfProduct(slice, around);
});

/** The slice's readers read x instead. The graph's output keeps its name, so a slice that gives it stays. */
const wholeSlice: Rule = (slice, around) => {
  const [x, y] = [input(slice, "x"), output(slice)];
  if (slice.attributes.size !== around.typeOf(x).shape.at(-1) || around.isOutput(y)) return null;
  const renamed = (node: Node): Node => ({ ...node, inputs: node.inputs.map((name) => (name === y ? x : name)) });
  const nodes = new Map<Node, readonly Node[]>(around.readers(y).map((node) => [node, [renamed(node)]]));
  return { nodes: nodes.set(slice, []) };
};

const sliceOfSlice: Rule = (slice, around) => {
  const x = input(slice, "x");
  const first = around.producer(x, "slice");
  if (!first) return null;
  const offset = Number(first.attributes.offset) + Number(slice.attributes.offset);
  const cut: Node = { ...slice, inputs: first.inputs, attributes: { ...slice.attributes, offset } };
  const nodes = new Map<Node, readonly Node[]>([[slice, [cut]]]);
  return { nodes: around.usedOnce(x) ? nodes.set(first, []) : nodes };
};

/** Only where the weight has no other reader either: else its rows would be stored twice. */
const sliceOfProduct: Rule = (slice, around) => {
  const x = input(slice, "x");
  const product = plainLinear(x, around);
  const weight = product && around.constant(input(product, "weight"));
  if (!product || !weight || !around.usedOnce(x) || !around.usedOnce(weight.name)) return null;
  const rows = rowsOf(weight, Number(slice.attributes.offset), Number(slice.attributes.size));
  const cut: Node = { ...product, outputs: slice.outputs };
  return {
    nodes: new Map([
      [product, [cut]],
      [slice, []],
    ]),
    constants: new Map([[weight, [rows]]]),
  };
};

/** Rows `offset … offset + size - 1` of a matrix, under its name. */
function rowsOf(matrix: Constant, offset: number, size: number): Constant {
  const sources: TensorSlice[] = [];
  let first = 0;
  for (const source of matrix.sources) {
    const [from, to] = [Math.max(offset, first), Math.min(offset + size, first + source.count)];
    if (from < to) sources.push({ ...source, start: source.start + from - first, count: to - from });
    first += source.count;
  }
  const width = required(matrix.type.shape[1], `width of ${matrix.name}`);
  return { ...matrix, type: { ...matrix.type, shape: [size, width] }, sources };
}
