/**
 * Stacking the weights of linears that read one value: rows(A) then rows(B), so one product gives both results side by side. Every
 * output is still the same sum in the same order, so bits stay. Encodings must agree: one constant has one encoding.
 */
import { required } from "../errors.ts";
import type { Constant, Node, ValueName } from "../graph/types.ts";
import { input, siblingName, type Surroundings } from "./surroundings.ts";

export interface StackedLinears {
  /** The value that all of them read. */
  readonly x: ValueName;
  readonly weight: Constant;
  /** Rows of each part, in order. */
  readonly sizes: readonly number[];
  /** The stacked weight in the first one's place, for the rewrite. */
  readonly constants: ReadonlyMap<Constant, readonly Constant[]>;
}

/** The linear without bias or residual that makes the value. */
export function plainLinear(value: ValueName, around: Surroundings): Node | null {
  const node = around.producer(value, "linear");
  return node?.attributes.bias === false && node.attributes.residual === false ? node : null;
}

/**
 * The weights of two or more plain linears as one constant, named like the first one's sibling `last`. Null unless they are distinct, read one
 * value, and their weights have one encoding and no other reader (else stacking would store them twice).
 */
export function stackLinears(linears: readonly Node[], last: string, around: Surroundings): StackedLinears | null {
  const [x, ...otherInputs] = linears.map((node) => input(node, "x"));
  const weights = linears.flatMap((node) => {
    const constant = around.constant(input(node, "weight"));
    return constant && around.usedOnce(constant.name) ? [constant] : [];
  });
  const [first, ...rest] = weights;
  if (new Set(linears).size !== linears.length) return null;
  if (x === undefined || first === undefined || weights.length !== linears.length) return null;
  if (!otherInputs.every((other) => other === x)) return null;
  if (!rest.every(({ type }) => type.encoding === first.type.encoding)) return null;
  const weight = stackRows(weights, first, around.freshName(siblingName(first.name, last)));
  const replaced = weights.map((constant) => [constant, constant === first ? [weight] : []] as const);
  return { x, weight, sizes: weights.map(rowsOf), constants: new Map(replaced) };
}

/** Matrices of one width under each other: [sum of rows, width]. */
function stackRows(matrices: readonly Constant[], { type }: Constant, name: ValueName): Constant {
  const rows = matrices.reduce((sum, matrix) => sum + rowsOf(matrix), 0);
  return {
    name,
    type: { ...type, shape: [rows, ...type.shape.slice(1)] },
    sources: matrices.flatMap(({ sources }) => sources),
  };
}

function rowsOf({ name, type }: Constant): number {
  const [rows] = type.shape;
  return required(typeof rows === "number" ? rows : null, `number of rows of ${name}`);
}
