/**
 * Checks a kernel in full, as if nothing were known of who made it: single assignment and scope, the operations' own rules on types,
 * constants, variables, memory access and names. What passes here the interpreter takes without asking; a target may still refuse shapes
 * that its registers cannot hold (WebAssembly: shuffles of more than two parts, loads of an odd number of bytes), as an internal error.
 */
import { InternalError, LfmcError } from "../errors.ts";
import {
  bytesOfElement,
  i32,
  operandsOf,
  printType,
  ptr,
  sameType,
  type For,
  type Kernel,
  type Let,
  type Parameter,
  type Statement,
  type Prefetch,
  type Store,
  type Type,
  type Value,
  type Variable,
} from "./ir.ts";
import { operationNamed, operations } from "./ops.ts";
import { printStatement } from "./print.ts";
import { operandRules } from "./rules.ts";

/** What statements of a block may use. */
interface Scope {
  readonly values: Map<number, Value>;
  readonly variables: Map<number, Variable>;
}

interface Check {
  readonly kernel: Kernel;
  /** Ids of all values and variables so far, in whatever scope: they share one numbering. */
  readonly taken: Set<number>;
  readonly used: Set<number>;
  /** The parameter that a pointer, or a variable of pointers, leads back to. */
  readonly roots: Map<number, Parameter>;
}

const kernelName = /^[a-z0-9_]+$/;
const identifier = /^[A-Za-z][A-Za-z0-9_]*$/;
const oneLine = /^(\S(.*\S)?)?$/;

/** Throws LfmcError `kernel/invalid` naming kernel and statement; returns the parameters that the kernel never uses. */
export function verifyKernel(kernel: Kernel): readonly Parameter[] {
  const check: Check = { kernel, taken: new Set(), used: new Set(), roots: new Map() };
  const scope: Scope = { values: new Map(), variables: new Map() };
  if (!kernelName.test(kernel.name)) reject(check, "name does not match [a-z0-9_]+");
  if (!oneLine.test(kernel.summary)) reject(check, "summary is not one trimmed line");
  verifyParameters(check, scope);
  verifyBlock(check, kernel.body, scope);
  return kernel.parameters.filter(({ value }) => !check.used.has(value.id));
}

function reject(check: Check, fact: string, statement?: Statement): never {
  const where = statement ? ` in: ${printStatement(check.kernel, statement)}` : "";
  throw new LfmcError("kernel/invalid", fact + where, {
    subject: `kernel ${check.kernel.name}`,
    hint: "correct the kernel: kernel/README.md tells its rules",
  });
}

function verifyParameters(check: Check, scope: Scope): void {
  const names = new Set<string>();
  for (const parameter of check.kernel.parameters) {
    const { name, value, access, note } = parameter;
    if (!identifier.test(name) || names.has(name)) reject(check, `parameter ${name}: name is illegal or taken`);
    names.add(name);
    if (!sameType(value.type, access === "scalar" ? i32 : ptr)) {
      reject(check, `parameter ${name}: ${access} does not go with ${printType(value.type)}`);
    }
    if (!oneLine.test(note)) reject(check, `parameter ${name}: note is not one trimmed line`);
    define(check, scope, value);
    if (value.type.element === "ptr") check.roots.set(value.id, parameter);
  }
}

function define(check: Check, scope: Scope, value: Value, statement?: Statement): void {
  const { id, type } = value;
  if (!Number.isInteger(id) || id < 0 || check.taken.has(id)) reject(check, `%${id} is defined twice`, statement);
  if (!isLegal(type)) reject(check, `%${id}: no type ${printType(type)}`, statement);
  check.taken.add(id);
  scope.values.set(id, value);
}

/** Scalars are i32, f32 or ptr; pointers are scalars. */
function isLegal({ element, lanes }: Type): boolean {
  if (!Number.isInteger(lanes) || lanes < 1) return false;
  return lanes === 1 ? element !== "i8" && element !== "i16" : element !== "ptr";
}

/** A block sees what is outside of it; what it defines ends with it. */
function verifyBlock(check: Check, statements: readonly Statement[], outer: Scope): void {
  const scope: Scope = { values: new Map(outer.values), variables: new Map(outer.variables) };
  for (const statement of statements) {
    for (const operand of operandsOf(statement)) {
      const known = scope.values.get(operand.id);
      if (!known || !sameType(known.type, operand.type)) {
        reject(check, `%${operand.id} is not in scope as ${printType(operand.type)}`, statement);
      }
      check.used.add(operand.id);
    }
    verifyStatement(check, statement, scope);
  }
}

function verifyStatement(check: Check, statement: Statement, scope: Scope): void {
  switch (statement.kind) {
    case "let":
      verifyLet(check, statement);
      define(check, scope, statement.result, statement);
      return;
    case "store":
      verifyStore(check, statement);
      return;
    case "prefetch":
      verifyPlace(check, statement);
      return;
    case "declare":
    case "assign":
    case "read":
      verifyVariable(check, statement, scope);
      return;
    case "for":
      verifyLoop(check, statement, scope);
      return;
    case "if":
      if (!sameType(statement.condition.type, i32)) reject(check, "condition is no i32", statement);
      verifyBlock(check, statement.then, scope);
      verifyBlock(check, statement.otherwise, scope);
  }
}

function verifyLet(check: Check, statement: Let): void {
  const { op, args, immediates, result } = statement;
  if (!isOperation(op)) return reject(check, `no operation ${op}`, statement);
  const rule = operandRules[op];
  if (args.length < rule.args[0] || args.length > rule.args[1]) reject(check, `${op} takes ${rule.args.join(" to ")} operands`, statement);
  const fault = rule.immediates(immediates, result.type);
  if (fault !== undefined) reject(check, fault, statement);
  const type = resultType(check, statement);
  if (!sameType(type, result.type)) reject(check, `${op} gives ${printType(type)}`, statement);
  if (result.type.element === "ptr" && op !== "advance") reject(check, "pointers come from advance only", statement);
  const [pointer] = args;
  const root = pointer && check.roots.get(pointer.id);
  if (op === "advance" && root) check.roots.set(result.id, root);
  if (op.startsWith("load") && root?.access === "write") reject(check, `${root.name} is only written`, statement);
}

function isOperation(op: string): op is keyof typeof operations {
  return Object.hasOwn(operations, op);
}

function resultType(check: Check, statement: Let): Type {
  const { op, args, immediates, result } = statement;
  try {
    return operationNamed(op).result(
      args.map((arg) => arg.type),
      immediates,
      result.type,
    );
  } catch (error) {
    if (error instanceof InternalError) return reject(check, error.message, statement);
    throw error;
  }
}

function verifyStore(check: Check, statement: Store): void {
  const { value, element, count } = statement;
  const root = verifyPlace(check, statement);
  if (root.access === "read") reject(check, `${root.name} is only read`, statement);
  if (!Number.isInteger(count) || count < 1 || count > value.type.lanes)
    reject(check, `${count} lanes of ${printType(value.type)}`, statement);
  const narrowed = sameType(value.type, i32) && (element === "i8" || element === "i16");
  if ((element !== value.type.element && !narrowed) || bytesOfElement(element) === 0) {
    reject(check, `${printType(value.type)} cannot lie in memory as ${element}`, statement);
  }
}

/** The parameter that a place lies behind. */
function verifyPlace(check: Check, statement: Store | Prefetch): Parameter {
  const { kind, pointer, index, offset } = statement;
  const root = check.roots.get(pointer.id);
  if (!root || !sameType(index.type, i32)) return reject(check, `a ${kind} needs a pointer and an i32 index`, statement);
  if (!Number.isInteger(offset) || offset < 0) reject(check, "offset is no natural number", statement);
  return root;
}

function verifyVariable(check: Check, statement: Extract<Statement, { kind: "declare" | "assign" | "read" }>, scope: Scope): void {
  const { variable } = statement;
  const id = variable.variable;
  if (statement.kind === "declare") {
    if (!identifier.test(variable.name)) reject(check, `variable name ${variable.name} is illegal`, statement);
    if (check.taken.has(id)) reject(check, `@${id} is declared twice`, statement);
    check.taken.add(id);
    scope.variables.set(id, variable);
  }
  const known = scope.variables.get(id);
  if (!known || !sameType(known.type, variable.type) || known.name !== variable.name) {
    reject(check, `@${variable.name}.${id} is not declared here`, statement);
  }
  const value = statement.kind === "declare" ? statement.initial : statement.kind === "assign" ? statement.value : statement.result;
  if (!sameType(value.type, variable.type)) reject(check, `${printType(value.type)} for a ${printType(variable.type)} variable`, statement);
  if (statement.kind === "read") define(check, scope, value, statement);
  if (value.type.element === "ptr") followPointer(check, statement, id, value.id);
}

/** A variable of pointers stays within the memory of one parameter. */
function followPointer(check: Check, statement: Statement, variable: number, value: number): void {
  const root = check.roots.get(statement.kind === "declare" ? value : variable);
  if (!root) return reject(check, "pointer leads to no parameter", statement);
  if (statement.kind === "declare") check.roots.set(variable, root);
  else if (statement.kind === "read") check.roots.set(value, root);
  else if (check.roots.get(value) !== root) reject(check, `pointer does not lead to ${root.name}`, statement);
}

function verifyLoop(check: Check, statement: For, scope: Scope): void {
  const { name, index, from, to, step, body } = statement;
  if (![index, from, to].every(({ type }) => sameType(type, i32))) reject(check, "loop bounds are no i32", statement);
  if (!Number.isInteger(step) || step < 1) reject(check, "loop step is no positive integer", statement);
  if (!identifier.test(name)) reject(check, `loop name ${name} is illegal`, statement);
  const inside: Scope = { values: new Map(scope.values), variables: scope.variables };
  define(check, inside, index, statement);
  verifyBlock(check, body, inside);
}
