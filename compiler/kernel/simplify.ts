/**
 * Simplification of index arithmetic, applied as a kernel is recorded, and removal of what has no use, applied when it is finished.
 * Only i32 scalars and pointers are rewritten: floating point keeps every operation that the numeric contract names. Each rule
 * stands beside its equation and never makes code longer.
 */
import { operandsOf, type Statement, type Type, type Value } from "./ir.ts";
import { operationNamed, type OperationName } from "./ops.ts";

export type Simpler =
  | { readonly kind: "value"; readonly value: Value }
  | { readonly kind: "literal"; readonly literal: number }
  | { readonly kind: "operation"; readonly op: OperationName; readonly args: readonly Value[]; readonly immediates: readonly number[] };

/** A simpler form of an operation, or undefined. `literal` tells the number behind a value, if it is one. */
export function simplifyOperation(
  op: OperationName,
  args: readonly Value[],
  immediates: readonly number[],
  type: Type,
  literal: (value: Value) => number | undefined,
): Simpler | undefined {
  const [a, b] = args;
  if (!a) return undefined;
  const right = b && literal(b);
  // pointer + 0 * stride = pointer
  if (op === "advance") return right === 0 ? { kind: "value", value: a } : undefined;
  // one vector end to end with nothing is that vector
  if (op === "concat" && args.length === 1) return { kind: "value", value: a };
  // the lanes 0, 1, … of a vector are the vector
  if (op === "shuffle" && args.length === 1 && immediates.length === a.type.lanes && immediates.every((lane, i) => lane === i)) {
    return { kind: "value", value: a };
  }
  if (type.element !== "i32" || type.lanes !== 1) return undefined;
  const left = literal(a);
  const meaning = operationNamed(op).meaning;
  // operations on literals
  if (meaning && left !== undefined && args.every((arg) => arg.type.element === "i32" && literal(arg) !== undefined)) {
    const lanes = args.map((arg) => [literal(arg) ?? 0]);
    return {
      kind: "literal",
      literal:
        meaning(
          lanes,
          immediates,
          type,
          args.map((arg) => arg.type),
        )[0] ?? 0,
    };
  }
  // x + 0 = x, 0 + x = x, x - 0 = x
  if ((op === "add" || op === "sub") && right === 0) return { kind: "value", value: a };
  if (op === "add" && left === 0 && b) return { kind: "value", value: b };
  if (op === "mul") return simplifyProduct(a, b, left, right);
  // x << 0 = x, x / 1 = x
  if ((op === "shl" && immediates[0] === 0) || (op === "divU" && immediates[0] === 1)) return { kind: "value", value: a };
  // x / 2^n = x >>> n
  if (op === "divU" && isPowerOfTwo(immediates[0])) {
    return { kind: "operation", op: "shrU", args: [a], immediates: [Math.log2(immediates[0])] };
  }
  return undefined;
}

/** x * 0 = 0, x * 1 = x, x * 2^n = x << n; either operand may be the literal. */
function simplifyProduct(a: Value, b: Value | undefined, left: number | undefined, right: number | undefined): Simpler | undefined {
  const [other, factor] = right === undefined ? [b, left] : [a, right];
  if (!other || factor === undefined) return undefined;
  if (factor === 0) return { kind: "literal", literal: 0 };
  if (factor === 1) return { kind: "value", value: other };
  if (isPowerOfTwo(factor)) return { kind: "operation", op: "shl", args: [other], immediates: [Math.log2(factor)] };
  return undefined;
}

function isPowerOfTwo(x: number | undefined): x is number {
  return x !== undefined && x > 0 && (x & (x - 1)) === 0;
}

/**
 * The statements without those `let`s and `read`s whose results nothing uses; loads are among them, because they have no effect.
 * A definition precedes its uses, so one walk from the end sees every use first.
 */
export function dropUnused(statements: readonly Statement[]): readonly Statement[] {
  return keepUsed(statements, new Set());
}

function keepUsed(statements: readonly Statement[], used: Set<number>): readonly Statement[] {
  const kept: Statement[] = [];
  for (const statement of statements.toReversed()) {
    if ((statement.kind === "let" || statement.kind === "read") && !used.has(statement.result.id)) continue;
    kept.push(withUsedBodies(statement, used));
    for (const value of operandsOf(statement)) used.add(value.id);
  }
  return kept.toReversed();
}

function withUsedBodies(statement: Statement, used: Set<number>): Statement {
  if (statement.kind === "for") return { ...statement, body: keepUsed(statement.body, used) };
  if (statement.kind === "if") {
    return { ...statement, then: keepUsed(statement.then, used), otherwise: keepUsed(statement.otherwise, used) };
  }
  return statement;
}
