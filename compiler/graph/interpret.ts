/**
 * Runs a graph. In "reference" arithmetic it is an f32 engine to compare with the reference implementation; in "contract"
 * arithmetic it defines the bits that every target gives. Weights are encoded once, sessions live as long as the interpreter.
 */
import { internal, LfmcError, required } from "../errors.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../numeric/half.ts";
import { blockSize, roundUp } from "../numeric/quantize.ts";
import { groupFormatNamed, storeGroups, type Groups } from "../numeric/weight-groups.ts";
import type { ArithmeticMode } from "./arithmetic/arithmetic.ts";
import { arithmetics } from "./arithmetic/modes.ts";
import { opNamed } from "./ops.ts";
import { type History, SessionState } from "./state.ts";
import { dense, elementCount, lastAxis, rowCount, type Tensor } from "./tensor.ts";
import type { Constant, Graph, Row, ValueName } from "./types.ts";

/** Reads a constant's checkpoint values, its sources stacked in order: in groups where its encoding has them, else in binary32. */
export type ConstantReader = (constant: Constant) => Promise<Float32Array | Groups>;

/** Sees each value as it is computed. */
export type Observer = (name: ValueName, tensor: Tensor) => void;

export interface ForwardResult {
  /** One row of the vocabulary's length for each row that wants logits, in order. */
  readonly logits: readonly Float32Array[];
}

export interface Interpreter {
  /** Runs the graph over rows. Throws run/input for a token, slot or position that cannot be. */
  forward(rows: readonly Row[], observe?: Observer): ForwardResult;
  /** Positions that a session holds. */
  length(slot: number): number;
  /** What the op of this `state` keeps of a session: "k" and "v" of attention, "conv" of the short convolution; rows by position. */
  history(state: number, slot: number, name: "k" | "v" | "conv"): History;
}

/** Reads and encodes the constants of a verified graph, one after the other. Throws weights/shape where a reader gives the wrong number of values. */
export async function createInterpreter(graph: Graph, read: ConstantReader, mode: ArithmeticMode): Promise<Interpreter> {
  const arithmetic = arithmetics[mode];
  const constants = new Map<ValueName, Tensor>();
  for (const constant of graph.constants) constants.set(constant.name, encodeConstant(constant, await read(constant)));
  const steps = graph.nodes.map((node) => ({ node, op: opNamed(node.op, node.op) }));
  const state = new SessionState();
  return {
    length: (slot) => state.length(slot),
    history: (id, slot, name) => required(state.find(id, slot, name), `state ${id} ${name} of slot ${slot}`),
    forward(rows, observe) {
      if (rows.length === 0)
        throw new LfmcError("run/input", "a call needs at least one row", { subject: "rows", hint: "give the tokens to evaluate" });
      state.advance(rows);
      const values = new Map(constants);
      for (const { node, op } of steps) {
        const inputs = node.inputs.map((name) => required(values.get(name), `value ${name}`));
        const outputs = op.evaluate({ arithmetic, rows, state }, inputs, node.attributes);
        node.outputs.forEach((name, i) => {
          const tensor = required(outputs[i], `output ${name}`);
          values.set(name, tensor);
          observe?.(name, tensor);
        });
      }
      return { logits: rowsOf(required(values.get(graph.output), "logits")) };
    },
  };
}

function encodeConstant({ name, type }: Constant, values: Float32Array | Groups): Tensor {
  const shape = type.shape.filter((size) => typeof size === "number");
  const format = groupFormatNamed(type.encoding);
  if (!(values instanceof Float32Array)) {
    if (!format) return internal(`groups for ${name} in ${type.encoding}`);
    checkLength(name, values.u.length, rowCount(shape) * roundUp(lastAxis(shape), blockSize));
    return { kind: "weights", shape, groups: storeGroups(format, values) };
  }
  checkLength(name, values.length, elementCount(shape));
  switch (type.encoding) {
    case "f32":
      return dense(shape, values);
    case "f16":
      return dense(
        shape,
        values.map((value) => f16ToF32(f32ToF16(value))),
      );
    case "bf16":
      return dense(
        shape,
        values.map((value) => bf16ToF32(f32ToBf16(value))),
      );
    default:
      return internal(`constant ${name} in ${type.encoding}`);
  }
}

function checkLength(name: ValueName, found: number, expected: number): void {
  if (found === expected) return;
  throw new LfmcError("weights/shape", `${found} values, expected ${expected}`, {
    subject: name,
    hint: "read the constant by its sources",
  });
}

function rowsOf(tensor: Tensor): readonly Float32Array[] {
  if (tensor.kind !== "dense") return internal(`logits are ${tensor.kind}`);
  const width = lastAxis(tensor.shape);
  return Array.from({ length: rowCount(tensor.shape) }, (_, row) => tensor.data.subarray(row * width, (row + 1) * width));
}
