/**
 * A loop over lanes under way: statements on lane i, one after the other, which become one `for` loop. A value that only the loop itself uses
 * is a scalar in it; any other is an array of lanes. Nothing in a loop touches memory, so that loads and stores may come before it.
 */
import type { Type } from "../../compiler/kernel/ir.ts";
import type { FunctionScope } from "./lower-scope.ts";
import { elementType } from "./types.ts";

/** A vector under a name: an array of lanes, or lane i of it alone. */
export interface LaneName {
  readonly text: string;
  /** Becomes false where the loop that sets it is the only one that reads it. */
  isArray: boolean;
}

export interface LaneStatement {
  readonly name: LaneName;
  readonly type: Type;
  /** Makes a value, makes a variable, or changes one. */
  readonly kind: "value" | "declare" | "assign";
  /** Lane i, said when the loop is written: by then its names are arrays or not. */
  readonly text: (i: string) => string;
  /** Arrays that it reads, and those of them of which it reads other lanes than lane i. */
  readonly reads: ReadonlySet<string>;
  readonly other: ReadonlySet<string>;
}

/**
 * The most arrays that a loop reads. Compilers run out of registers where there are more: a group's product of two rows in four loops of 5 to 7
 * arrays runs at 11.0 (gcc 12 -O2), 10.8 (-O3) and 8.7 (clang 19) GMAC/s on one Xeon core, in one loop of 20 at 10.4, 8.5 and 5.5.
 */
const mostArrays = 8;

/** Of a loop on one line. */
const longestLine = 100;

export class LaneLoop {
  readonly #scope: FunctionScope;
  readonly #index: string;
  #statements: LaneStatement[] = [];

  constructor(scope: FunctionScope) {
    this.#scope = scope;
    this.#index = scope.names.fresh("i");
  }

  /** The text of a lane as the loop would have it now. */
  preview(text: (i: string) => string): string {
    return text(this.#index);
  }

  /** Whether any of the names is set here. */
  sets(names: Iterable<string>): boolean {
    return [...names].some((name) => this.#statements.some((statement) => statement.name.text === name));
  }

  /** Whether a statement may follow: every lane must find what it reads of others as it was before the loop. */
  accepts({ name, type, other }: LaneStatement): boolean {
    const [first] = this.#statements;
    if (!first) return true;
    return first.type.lanes === type.lanes && !this.sets(other) && !this.#statements.some((statement) => statement.other.has(name.text));
  }

  add(statement: LaneStatement): void {
    this.#statements.push(statement);
  }

  /** Writes the loop and starts anew; `isUsedLater` tells of values whether anything after it reads them. */
  write(isUsedLater: (name: LaneName) => boolean): void {
    const loops = loopsOf(this.#statements);
    this.#statements = [];
    loops.forEach((statements, k) => {
      const rest = new Set(loops.slice(k + 1).flatMap((loop) => loop.flatMap(({ reads }) => [...reads])));
      for (const { kind, name } of statements) name.isArray = kind !== "value" || rest.has(name.text) || isUsedLater(name);
    });
    for (const statements of loops) this.#write(statements);
  }

  #write(statements: readonly LaneStatement[]): void {
    const [first] = statements;
    if (!first) return;
    this.#declare(statements.filter(({ kind, name }) => kind !== "assign" && name.isArray));
    const lines = statements.map(({ name, type, text }) => {
      const target = name.isArray ? `${name.text}.lane[${this.#index}]` : `const ${elementType(type.element)} ${name.text}`;
      return `${target} = ${text(this.#index)};`;
    });
    const head = `for (int ${this.#index} = 0; ${this.#index} < ${first.type.lanes}; ${this.#index}++)`;
    const [only = ""] = lines;
    // A declaration is no body of a loop; nothing reads it, but for kernels that are broken on purpose.
    const isAssignment = statements.every(({ name }) => name.isArray);
    if (lines.length === 1 && isAssignment && head.length + only.length < longestLine) {
      this.#scope.line(`${head} ${only}`);
      return;
    }
    this.#scope.block(head, () => {
      for (const line of lines) this.#scope.line(line);
    });
  }

  #declare(statements: readonly LaneStatement[]): void {
    const types = new Map<string, string[]>();
    for (const { name, type } of statements) {
      const text = this.#scope.vocabulary.type(type);
      types.set(text, [...(types.get(text) ?? []), name.text]);
    }
    for (const [type, names] of types) this.#scope.line(`${type} ${names.join(", ")};`);
  }
}

/** Statements as loops of a bearable number of arrays, each cut, in its later half, where fewest values go on to the next. */
function loopsOf(statements: readonly LaneStatement[]): readonly (readonly LaneStatement[])[] {
  let fitting = 1;
  while (fitting < statements.length && arraysRead(statements.slice(0, fitting + 1)) <= mostArrays) fitting++;
  if (fitting >= statements.length) return [statements];
  const goingOn = (cut: number): number => {
    const rest = new Set(statements.slice(cut).flatMap(({ reads }) => [...reads]));
    return statements.slice(0, cut).filter(({ name }) => rest.has(name.text)).length;
  };
  let cut = fitting;
  for (let earlier = fitting - 1; 2 * earlier > fitting; earlier--) if (goingOn(earlier) < goingOn(cut)) cut = earlier;
  return [statements.slice(0, cut), ...loopsOf(statements.slice(cut))];
}

function arraysRead(statements: readonly LaneStatement[]): number {
  const made = new Set(statements.filter(({ kind }) => kind === "value").map(({ name }) => name.text));
  return new Set(statements.flatMap(({ reads }) => [...reads].filter((name) => !made.has(name)))).size;
}
