/**
 * Runs a kernel on regions of bytes, and thereby defines its bits: every target's code must leave the same bytes. The operations'
 * meanings come from `ops.ts`; what belongs to this file is memory, variables and control flow. Every access is checked
 * against the region behind its parameter and against what the parameter says that it is for. A kernel is turned into closures once.
 */
import { internal, required } from "../errors.ts";
import {
  bytesOfElement,
  printType,
  type For,
  type If,
  type Kernel,
  type Let,
  type Parameter,
  type Statement,
  type Store,
  type Value,
} from "./ir.ts";
import { operationNamed, readElement, writeElement, type Lanes } from "./ops.ts";

/** The memory behind a pointer argument. Regions of different parameters may be views on one ArrayBuffer. */
export interface Region {
  readonly bytes: Uint8Array;
}

/** A region for a pointer, a number for an i32. */
export type Argument = Region | number;

/** A place in a region; `offset` counts bytes from the region's start and is only checked when the place is used. */
interface Pointer {
  readonly parameter: Parameter;
  readonly view: DataView;
  readonly offset: number;
}

/** One kernel while it runs: what its values and variables hold, by id. */
interface Machine {
  readonly kernel: string;
  readonly lanes: (Lanes | undefined)[];
  readonly pointers: (Pointer | undefined)[];
}

interface Program {
  readonly machine: Machine;
  readonly run: () => void;
}

const programs = new WeakMap<Kernel, Program>();

/** Runs `kernel` with one argument per parameter. Bad arguments and accesses outside a region are internal errors. */
export function interpretKernel(kernel: Kernel, args: readonly Argument[]): void {
  const { machine, run } = programs.get(kernel) ?? prepare(kernel);
  if (args.length !== kernel.parameters.length) {
    internal(`kernel ${kernel.name} takes ${kernel.parameters.length} arguments, not ${args.length}`);
  }
  kernel.parameters.forEach((parameter, i) => {
    bind(machine, parameter, required(args[i], "argument"));
  });
  run();
}

function prepare(kernel: Kernel): Program {
  const machine: Machine = { kernel: kernel.name, lanes: [], pointers: [] };
  const program = { machine, run: block(machine, kernel.body) };
  programs.set(kernel, program);
  return program;
}

function bind(machine: Machine, parameter: Parameter, argument: Argument): void {
  const { name, value } = parameter;
  if (typeof argument === "number") {
    if (value.type.element !== "i32" || argument !== (argument | 0)) {
      internal(`kernel ${machine.kernel}: ${argument} is no ${printType(value.type)} for ${name}`);
    }
    machine.lanes[value.id] = [argument];
  } else {
    if (value.type.element !== "ptr") internal(`kernel ${machine.kernel}: a region is no ${printType(value.type)} for ${name}`);
    const { buffer, byteOffset, byteLength } = argument.bytes;
    machine.pointers[value.id] = { parameter, view: new DataView(buffer, byteOffset, byteLength), offset: 0 };
  }
}

function lanesOf(machine: Machine, id: number): Lanes {
  return machine.lanes[id] ?? internal(`kernel ${machine.kernel}: %${id} used before it is set`);
}

function scalarOf(machine: Machine, id: number): number {
  return lanesOf(machine, id)[0] ?? internal(`kernel ${machine.kernel}: %${id} has no lanes`);
}

function pointerOf(machine: Machine, id: number): Pointer {
  return machine.pointers[id] ?? internal(`kernel ${machine.kernel}: pointer %${id} used before it is set`);
}

/** The offset in its region of an access of `bytes` bytes at pointer + index + offset; an internal error where it is not allowed. */
function checkedOffset(machine: Machine, pointer: Pointer, position: number, bytes: number, verb: "read" | "write"): number {
  const { parameter, view } = pointer;
  const start = pointer.offset + position;
  if (parameter.access !== verb && parameter.access !== "read-write") {
    internal(`kernel ${machine.kernel}: cannot ${verb} ${parameter.name} (${parameter.access}) at byte ${start}`);
  }
  if (start < 0 || start + bytes > view.byteLength) {
    internal(
      `kernel ${machine.kernel}: ${verb} of ${bytes} bytes at byte ${start} of ${parameter.name}, which has ${view.byteLength} bytes`,
    );
  }
  return start;
}

function block(machine: Machine, statements: readonly Statement[]): () => void {
  const steps = statements.map((statement) => step(machine, statement));
  return () => {
    for (const each of steps) each();
  };
}

/** The closure of one statement. */
function step(machine: Machine, statement: Statement): () => void {
  switch (statement.kind) {
    case "let":
      return letStep(machine, statement);
    case "store":
      return storeStep(machine, statement);
    case "prefetch":
      return () => undefined;
    case "declare":
      return copyStep(machine, statement.variable.variable, statement.initial.id, statement.initial);
    case "assign":
      return copyStep(machine, statement.variable.variable, statement.value.id, statement.value);
    case "read":
      return copyStep(machine, statement.result.id, statement.variable.variable, statement.result);
    case "for":
      return forStep(machine, statement);
    case "if":
      return ifStep(machine, statement);
  }
}

/** Values and variables share one numbering, so reading and assigning are copies; lanes are never changed in place. */
function copyStep(machine: Machine, to: number, from: number, { type }: Value): () => void {
  if (type.element === "ptr") {
    return () => {
      machine.pointers[to] = pointerOf(machine, from);
    };
  }
  return () => {
    machine.lanes[to] = lanesOf(machine, from);
  };
}

function letStep(machine: Machine, { op, args, immediates, result }: Let): () => void {
  const ids = args.map((arg) => arg.id);
  if (op === "advance") {
    const [pointer, index] = [required(ids[0], "pointer"), required(ids[1], "index")];
    const stride = required(immediates[0], "stride");
    return () => {
      const base = pointerOf(machine, pointer);
      machine.pointers[result.id] = { ...base, offset: base.offset + scalarOf(machine, index) * stride };
    };
  }
  if (op.startsWith("load")) return loadStep(machine, { op, args, immediates, result });
  const meaning = required(operationNamed(op).meaning, `meaning of ${op}`);
  const operands = args.map((arg) => arg.type);
  return () => {
    const lanes = ids.map((id) => lanesOf(machine, id));
    machine.lanes[result.id] = meaning(lanes, immediates, result.type, operands);
  };
}

type LoadParts = Pick<Let, "op" | "args" | "immediates" | "result">;

function loadStep(machine: Machine, { op, args, immediates, result }: LoadParts): () => void {
  const [pointer, index] = [required(args[0], "pointer").id, required(args[1], "index").id];
  const offset = required(immediates[0], "offset");
  const { element, lanes } = result.type;
  const read = (bytes: number): readonly [DataView, number] => {
    const base = pointerOf(machine, pointer);
    return [base.view, checkedOffset(machine, base, scalarOf(machine, index) + offset, bytes, "read")];
  };
  const keep = (value: Lanes): void => {
    machine.lanes[result.id] = value;
  };
  const size = bytesOfElement(element);
  const count = required(immediates[1], "count");
  switch (op) {
    case "load":
      return () => {
        const [view, start] = read(count * size);
        const value = new Array<number>(lanes).fill(0);
        for (let i = 0; i < count; i++) value[i] = readElement(view, start + i * size, element);
        keep(value);
      };
    case "loadSplat":
      return () => {
        const [view, start] = read(size);
        keep(new Array<number>(lanes).fill(readElement(view, start, element)));
      };
    case "load8":
      return () => {
        const [view, start] = read(1);
        keep([view.getUint8(start)]);
      };
    case "load16":
      return () => {
        const [view, start] = read(2);
        keep([view.getUint16(start, true)]);
      };
    default:
      return internal(`no load ${op}`);
  }
}

function storeStep(machine: Machine, { pointer, index, offset, value, element, count }: Store): () => void {
  const size = bytesOfElement(element);
  return () => {
    const base = pointerOf(machine, pointer.id);
    const lanes = lanesOf(machine, value.id);
    const start = checkedOffset(machine, base, scalarOf(machine, index.id) + offset, count * size, "write");
    for (let i = 0; i < count; i++) writeElement(base.view, start + i * size, element, required(lanes[i], "lane"));
  };
}

function forStep(machine: Machine, { index, from, to, step: stride, body }: For): () => void {
  const run = block(machine, body);
  return () => {
    const end = scalarOf(machine, to.id);
    for (let i = scalarOf(machine, from.id); i < end; i += stride) {
      machine.lanes[index.id] = [i];
      run();
    }
  };
}

function ifStep(machine: Machine, { condition, then, otherwise }: If): () => void {
  const [yes, no] = [block(machine, then), block(machine, otherwise)];
  return () => {
    (scalarOf(machine, condition.id) === 0 ? no : yes)();
  };
}
