/**
 * Kernels broken in one place: what a wrong lowering would compute. Every mutation changes one statement so that, where its result
 * matters at all, memory differs.
 */

import { bytesOfElement, type Kernel, type Let, type Statement, type Store } from "../../compiler/kernel/ir.ts";

/** Names a mutation and says what takes a statement's place, or undefined where it has nothing to change. */
export interface Mutation {
  readonly name: string;
  readonly apply: (statement: Statement) => readonly Statement[] | undefined;
}

function onLet(name: string, change: (statement: Let) => Partial<Let> | undefined): Mutation {
  return {
    name,
    apply: (statement) => {
      const changed = statement.kind === "let" ? change(statement) : undefined;
      return statement.kind === "let" && changed ? [{ ...statement, ...changed }] : undefined;
    },
  };
}

function onStore(name: string, change: (statement: Store) => Partial<Store> | undefined): Mutation {
  return {
    name,
    apply: (statement) => {
      const changed = statement.kind === "store" ? change(statement) : undefined;
      return statement.kind === "store" && changed ? [{ ...statement, ...changed }] : undefined;
    },
  };
}

const swapped: Readonly<Record<string, string>> = { add: "sub", sub: "add", min: "max", max: "min", widenS: "widenU" };

export const mutations: readonly Mutation[] = [
  onLet("another operation", ({ op, result }) => {
    // i16 is added, never subtracted.
    const other = op === "add" && result.type.element === "i16" ? undefined : swapped[op];
    return other === undefined ? undefined : { op: other };
  }),
  onLet("operands exchanged", ({ op, args }) => (["sub", "div", "lt"].includes(op) ? { args: args.toReversed() } : undefined)),
  onLet("product for quotient", ({ op }) => (op === "div" ? { op: "mul" } : undefined)),
  onLet("load 4 bytes on", ({ op, immediates: [offset, count] }) => {
    return op.startsWith("load") && offset !== undefined && count !== undefined ? { immediates: [offset + 4, count] } : undefined;
  }),
  onLet("shift by one more", ({ op, immediates: [bits] }) => {
    return ["shl", "shrU", "shrS"].includes(op) && bits !== undefined && bits < 7 ? { immediates: [bits + 1] } : undefined;
  }),
  onLet("stride 4 bytes longer", ({ op, immediates: [stride] }) => {
    return op === "advance" && stride !== undefined ? { immediates: [stride + 4] } : undefined;
  }),
  onLet("constant changed", ({ op, immediates, result }) => {
    if (op !== "const") return undefined;
    return { immediates: immediates.map((x) => (result.type.element !== "f32" ? x ^ 1 : Math.fround(x === 0 ? 1 : x * 1.25))) };
  }),
  onLet("lane 0 for another", ({ op, immediates }) => (op === "lane" && immediates[0] !== 0 ? { immediates: [0] } : undefined)),
  onLet("last lane twice", ({ op, immediates }) => {
    const [first, ...rest] = immediates;
    const last = immediates.at(-1);
    return op === "shuffle" && last !== undefined && first !== last ? { immediates: [last, ...rest] } : undefined;
  }),
  onStore("store 4 bytes on", ({ offset }) => ({ offset: offset + 4 })),
  onStore("store one lane less", ({ count, element }) => (count > 1 && bytesOfElement(element) === 4 ? { count: count - 1 } : undefined)),
  {
    name: "assignment left out",
    apply: (statement) => (statement.kind === "assign" ? [] : undefined),
  },
];

/** Every statement of a kernel, outermost first, bodies after the statement that holds them. */
export function statementsOf(statements: readonly Statement[]): readonly Statement[] {
  return statements.flatMap((statement) => {
    if (statement.kind === "for") return [statement, ...statementsOf(statement.body)];
    if (statement.kind === "if") return [statement, ...statementsOf(statement.then), ...statementsOf(statement.otherwise)];
    return [statement];
  });
}

/** The kernel with other statements in the place of one, under another name. */
export function replaceStatement(kernel: Kernel, old: Statement, replacement: readonly Statement[], name: string): Kernel {
  const replace = (statements: readonly Statement[]): readonly Statement[] =>
    statements.flatMap((statement): readonly Statement[] => {
      if (statement === old) return replacement;
      if (statement.kind === "for") return [{ ...statement, body: replace(statement.body) }];
      if (statement.kind === "if") return [{ ...statement, then: replace(statement.then), otherwise: replace(statement.otherwise) }];
      return [statement];
    });
  return { ...kernel, name, body: replace(kernel.body) };
}
