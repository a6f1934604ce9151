/**
 * Kernel IR to WebAssembly: one function a kernel. A value becomes one local for a scalar, or one v128 local for each 16 bytes of a
 * vector; regrouping lanes (concat, aligned parts, splats) only renames locals. binaryen's optimiser removes the copies.
 */
import { assertNever, required } from "../../compiler/errors.ts";
import { bytesOfElement, type Kernel, type Statement, type Store, type Value, type Variable } from "../../compiler/kernel/ir.ts";
import type { Assembler, Expression, LocalType, Reader } from "./assembler.ts";
import { emissionNamed } from "./emit-operation.ts";
import { storeParts } from "./emit-memory.ts";
import { partType } from "./parts.ts";

/** A kernel's function under construction: its locals and the statements of the block being written. */
export class FunctionWriter {
  readonly asm: Assembler;
  readonly #parameters: readonly LocalType[];
  readonly #locals: LocalType[] = [];
  readonly #values = new Map<number, readonly Reader[]>();
  readonly #variables = new Map<number, readonly number[]>();
  readonly #constants = new Map<string, { readonly local: number; readonly bytes: readonly number[] }>();
  #statements: Expression[] = [];
  #labels = 0;

  constructor(asm: Assembler, kernel: Kernel) {
    this.asm = asm;
    this.#parameters = kernel.parameters.map(({ value }) => partType(value.type));
    kernel.parameters.forEach(({ value }, index) => {
      this.#values.set(value.id, [() => asm.get(index, partType(value.type))]);
    });
  }

  /** Puts an expression into a fresh local and returns its reader. */
  bind(type: LocalType, value: Expression): Reader {
    const local = this.#local(type);
    this.emit(this.asm.set(local, value));
    return () => this.asm.get(local, type);
  }

  /** A vector literal, in a local that is set before the first statement. */
  constant(bytes: readonly number[]): Reader {
    const key = bytes.join();
    const constant = this.#constants.get(key) ?? { local: this.#local("v128"), bytes };
    this.#constants.set(key, constant);
    return () => this.asm.get(constant.local, "v128");
  }

  emit(statement: Expression): void {
    this.#statements.push(statement);
  }

  /** The locals that hold a value, one for each 16 bytes. */
  parts(value: Value): readonly Reader[] {
    return required(this.#values.get(value.id), `value %${value.id}`);
  }

  scalar(value: Value): Expression {
    return required(this.parts(value)[0], `value %${value.id}`)();
  }

  #local(type: LocalType): number {
    this.#locals.push(type);
    return this.#parameters.length + this.#locals.length - 1;
  }

  #block(statements: readonly Statement[]): readonly Expression[] {
    const outer = this.#statements;
    this.#statements = [];
    for (const statement of statements) this.statement(statement);
    const inner = this.#statements;
    this.#statements = outer;
    return inner;
  }

  statement(statement: Statement): void {
    switch (statement.kind) {
      case "let": {
        const { result, op, args, immediates } = statement;
        this.#values.set(result.id, emissionNamed(op)({ writer: this, args, immediates, type: result.type }));
        return;
      }
      case "store":
        this.#store(statement);
        return;
      case "prefetch":
        // WebAssembly has no such instruction.
        return;
      case "declare":
        this.#variables.set(
          statement.variable.variable,
          this.parts(statement.initial).map(() => this.#local(partType(statement.variable.type))),
        );
        this.#assign(statement.variable, statement.initial);
        return;
      case "assign":
        this.#assign(statement.variable, statement.value);
        return;
      case "read": {
        const type = partType(statement.result.type);
        const copies = this.#variable(statement.variable).map((local) => this.bind(type, this.asm.get(local, type)));
        this.#values.set(statement.result.id, copies);
        return;
      }
      case "for":
        this.#for(statement);
        return;
      case "if": {
        const then = this.asm.block(this.#block(statement.then));
        const otherwise = statement.otherwise.length > 0 ? this.asm.block(this.#block(statement.otherwise)) : undefined;
        this.emit(this.asm.if(this.scalar(statement.condition), then, otherwise));
        return;
      }
      default:
        assertNever(statement);
    }
  }

  #variable(variable: Variable): readonly number[] {
    return required(this.#variables.get(variable.variable), `variable ${variable.name}`);
  }

  #assign(variable: Variable, value: Value): void {
    const parts = this.parts(value);
    this.#variable(variable).forEach((local, i) => {
      this.emit(this.asm.set(local, required(parts[i], "part")()));
    });
  }

  #store({ pointer, index, offset, value, element, count }: Store): void {
    const address = this.address(pointer, index);
    const storedBytes = count * bytesOfElement(element);
    storeParts(this, { address, offset, element, storedBytes, scalar: value.type.lanes === 1, parts: this.parts(value) });
  }

  /** pointer + index, in a local. */
  address(pointer: Value, index: Value): Reader {
    return this.bind("ptr", this.asm.advance(this.scalar(pointer), this.scalar(index)));
  }

  #for({ index, from, to, step, body }: Extract<Statement, { kind: "for" }>): void {
    const { asm } = this;
    const local = this.#local("i32");
    const read: Reader = () => asm.get(local, "i32");
    this.#values.set(index.id, [read]);
    this.emit(asm.set(local, this.scalar(from)));
    const condition = (): Expression => asm.i32.lt_s(read(), this.scalar(to));
    const label = `loop${this.#labels++}`;
    const statements = [...this.#block(body), asm.set(local, asm.i32.add(read(), asm.i32.const(step)))];
    this.emit(asm.if(condition(), asm.loop(label, statements, condition())));
  }

  /** Adds the function to the module. */
  finish({ name, body }: Kernel): void {
    const { asm } = this;
    const constants = [...this.#constants.values()].map(({ local, bytes }) => asm.set(local, asm.opaque(bytes)));
    asm.addFunction(name, this.#parameters, this.#locals, [...constants, ...this.#statements], { keepsOrder: multiplies(body) });
  }
}

/** Adds `kernel` to the module as a function of its own name, whose parameters are the kernel's: pointers and i32. */
export function lowerKernel(asm: Assembler, kernel: Kernel): void {
  const writer = new FunctionWriter(asm, kernel);
  for (const statement of kernel.body) writer.statement(statement);
  writer.finish(kernel);
}

/** Whether a kernel's body holds a product of 8-bit groups. */
function multiplies(statements: readonly Statement[]): boolean {
  return statements.some((statement) => {
    switch (statement.kind) {
      case "let":
        return statement.op === "dotPairs" || statement.op === "dotQuadsUS";
      case "for":
        return multiplies(statement.body);
      case "if":
        return multiplies(statement.then) || multiplies(statement.otherwise);
      default:
        return false;
    }
  });
}
