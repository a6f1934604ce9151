/**
 * Kernels as text, one statement a line, which `parse.ts` reads back to the same kernel. Values are `%12`, variables `@12`; where one
 * has a name it stands before the number (`%row.12`), for the reader: the number alone identifies it.
 *
 *     // Twice the numbers.
 *     kernel double(
 *       %x.0: ptr read // numbers [n] f32
 *       %y.1: ptr write // twice the numbers [n] f32
 *       %n.2: i32 scalar // how many
 *     ) {
 *       %3: i32 = const(0)
 *       for %i.4 from %3 to %n.2 step 1 {
 *         %5: i32 = %i.4 << 2
 *         %6: f32 = load %x.0[%5]
 *         %7: f32 = %6 + %6
 *         store %y.1[%5] = %7
 *       }
 *     }
 */
import { printType, type Kernel, type Let, type Statement, type Store, type Value, type Variable } from "./ir.ts";

/** Operations of two values that are written between them. */
export const infixOfValues = { add: "+", sub: "-", mul: "*", div: "/", and: "&", or: "|", xor: "^", lt: "<", eq: "==" } as const;

/** Operations of a value and a constant that are written between them. */
export const infixOfConstant = { shl: "<<", shrS: ">>", shrU: ">>>" } as const;

/** Names of parameters and loop indices by value id. */
type Names = ReadonlyMap<number, string>;

/** The whole kernel. */
export function printKernel(kernel: Kernel): string {
  const names = namesOf(kernel);
  const parameters = kernel.parameters.map(({ value, access, note }) => {
    return `  ${printValue(value, names)}: ${printType(value.type)} ${access}${note === "" ? "" : ` // ${note}`}`;
  });
  return [`// ${kernel.summary}`, `kernel ${kernel.name}(`, ...parameters, ") {", ...printBlock(kernel.body, names, "  "), "}", ""].join(
    "\n",
  );
}

/** The first line of one statement, for messages about it. */
export function printStatement(kernel: Kernel, statement: Statement): string {
  return printLines(statement, namesOf(kernel), "")[0] ?? "";
}

function namesOf(kernel: Kernel): Names {
  const names = new Map(kernel.parameters.map(({ name, value }) => [value.id, name]));
  const visit = (statements: readonly Statement[]): void => {
    for (const statement of statements) {
      if (statement.kind === "for") {
        names.set(statement.index.id, statement.name);
        visit(statement.body);
      } else if (statement.kind === "if") {
        visit(statement.then);
        visit(statement.otherwise);
      }
    }
  };
  visit(kernel.body);
  return names;
}

function printValue({ id }: Value, names: Names): string {
  const name = names.get(id);
  return name === undefined ? `%${id}` : `%${name}.${id}`;
}

function printVariable({ variable, name }: Variable): string {
  return `@${name}.${variable}`;
}

function printBlock(statements: readonly Statement[], names: Names, indent: string): string[] {
  return statements.flatMap((statement) => printLines(statement, names, indent));
}

function printLines(statement: Statement, names: Names, indent: string): string[] {
  const value = (of: Value): string => printValue(of, names);
  const inner = `${indent}  `;
  switch (statement.kind) {
    case "let":
      return [`${indent}${value(statement.result)}: ${printType(statement.result.type)} = ${printOperation(statement, value)}`];
    case "store":
      return [`${indent}${printStore(statement, value)}`];
    case "prefetch":
      return [`${indent}prefetch ${printPlace(value(statement.pointer), value(statement.index), statement.offset)}`];
    case "declare":
      return [`${indent}var ${printVariable(statement.variable)}: ${printType(statement.variable.type)} = ${value(statement.initial)}`];
    case "assign":
      return [`${indent}${printVariable(statement.variable)} = ${value(statement.value)}`];
    case "read":
      return [`${indent}${value(statement.result)}: ${printType(statement.result.type)} = ${printVariable(statement.variable)}`];
    case "for": {
      const { index, from, to, step, body } = statement;
      const head = `for ${value(index)} from ${value(from)} to ${value(to)} step ${step} {`;
      return [indent + head, ...printBlock(body, names, inner), `${indent}}`];
    }
    case "if": {
      const { condition, then, otherwise } = statement;
      const rest = otherwise.length > 0 ? [`${indent}} else {`, ...printBlock(otherwise, names, inner)] : [];
      return [`${indent}if ${value(condition)} {`, ...printBlock(then, names, inner), ...rest, `${indent}}`];
    }
  }
}

function printOperation({ op, args, immediates, result }: Let, value: (of: Value) => string): string {
  const [a, b] = args;
  const [first, second] = immediates;
  if (op.startsWith("load") && a && b && first !== undefined && second !== undefined) {
    return `${op} ${printPlace(value(a), value(b), first)}${second === usualCount(op, result.type.lanes) ? "" : ` lanes ${second}`}`;
  }
  if (a && b && isKey(infixOfValues, op)) return `${value(a)} ${infixOfValues[op]} ${value(b)}`;
  if (a && first !== undefined && isKey(infixOfConstant, op)) return `${value(a)} ${infixOfConstant[op]} ${first}`;
  return `${op}(${[...args.map(value), ...immediates.map(printNumber)].join(", ")})`;
}

/** The count that goes without saying: all lanes of a plain load, one for the others. */
export function usualCount(op: string, lanes: number): number {
  return op === "load" ? lanes : 1;
}

function printStore({ pointer, index, offset, value: stored, element, count }: Store, value: (of: Value) => string): string {
  const as = element === stored.type.element ? "" : ` as ${element}`;
  const lanes = count === stored.type.lanes ? "" : ` lanes ${count}`;
  return `store ${printPlace(value(pointer), value(index), offset)} = ${value(stored)}${as}${lanes}`;
}

function printPlace(pointer: string, index: string, offset: number): string {
  return `${pointer}[${index}${offset === 0 ? "" : ` + ${offset}`}]`;
}

function printNumber(number: number): string {
  return Object.is(number, -0) ? "-0" : String(number);
}

function isKey<T extends object>(table: T, key: string): key is Extract<keyof T, string> {
  return Object.hasOwn(table, key);
}
