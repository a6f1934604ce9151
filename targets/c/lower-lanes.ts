/**
 * Vectors lane by lane, for C without registers: elementwise work is fused into loops over lanes, what is the same in all lanes stays a scalar,
 * and regrouping lanes is arithmetic on indices. Only copies of bytes (loads, stores, concat, bitcasts that regroup) are calls of the vocabulary.
 */
import { internal, required } from "../../compiler/errors.ts";
import type { Let, Value } from "../../compiler/kernel/ir.ts";
import { isPrimary, nothing, readsOf } from "./expressions.ts";
import { comparisons, laneIndex, laneRowOf, laneUse, type LaneCall, type LaneUse } from "./lane-rows.ts";
import { arrayOf, laneOf, LaneValues, type Each, type Lanes, type Readable } from "./lane-values.ts";
import { laneLiteral } from "./literals.ts";
import type { FunctionScope } from "./lower-scope.ts";
import { operationName, stemOf, type VariableLowering, type VectorLowering } from "./lower-vectors.ts";

export class LaneVectors implements VectorLowering, VariableLowering {
  readonly #scope: FunctionScope;
  readonly #values: LaneValues;

  constructor(scope: FunctionScope) {
    this.#scope = scope;
    this.#values = new LaneValues(scope);
  }

  get variables(): VariableLowering {
    return this;
  }

  whole(value: Value): string {
    return this.#values.during(() => this.#values.whole(this.#values.take(value)));
  }

  declare(name: string, initial: Value): void {
    this.#values.during(() => {
      this.#values.set("declare", name, this.#values.take(initial));
    });
  }

  assign(name: string, value: Value): void {
    this.#values.during(() => {
      const lanes = this.#values.take(value);
      this.#scope.flush((read) => read === name);
      this.#values.set("assign", name, lanes);
    });
  }

  read(result: Value, name: string): void {
    this.#values.define(result, arrayOf({ text: name, isArray: true }, result.type, name, new Set([name])));
  }

  let(statement: Let): void {
    this.#values.during(() => {
      this.#let(statement);
    });
  }

  #let(statement: Let): void {
    const { op, args, result } = statement;
    switch (op) {
      case "const":
        this.#constant(statement);
        return;
      case "load":
      case "loadSplat":
        this.#load(statement);
        return;
      case "splat": {
        const { text, reads } = this.#scope.use(operandOf(statement));
        this.#values.define(result, { kind: "uniform", type: result.type, stem: stemOf(op), text, reads });
        return;
      }
      case "lane":
        this.#lane(statement);
        return;
      case "shuffle":
        this.#shuffle(statement);
        return;
      case "concat":
        this.#call(statement);
        return;
      case "bitcast":
        if (args[0]?.type.lanes === result.type.lanes) this.#row(statement);
        else this.#call(statement);
        return;
      default:
        this.#row(statement);
    }
  }

  #constant({ op, immediates, result }: Let): void {
    const { type } = result;
    const [first = 0, second = first] = immediates;
    const [stem, step] = [stemOf(op), second - first];
    if (immediates.every((value) => Object.is(value, first))) {
      this.#values.define(result, { kind: "uniform", type, stem, text: laneLiteral(type.element, first), reads: nothing });
    } else if (type.element === "i32" && first >= 0 && step > 0 && isProgression(immediates)) {
      this.#values.define(result, eachOf({ type, stem, at: (i) => laneIndex(i, step, first) }, []));
    } else {
      const name = this.#scope.vocabulary.function({ op: "const", operands: [], immediates, result: type });
      this.#values.define(result, { kind: "whole", type, stem, text: `${name}()`, reads: nothing });
    }
  }

  #load(statement: Let): void {
    const { op, immediates, result } = statement;
    const { type } = result;
    const { place, reads, root } = this.#scope.source(statement);
    const isUniform = op === "loadSplat";
    const load = { op: operationName(op), operands: [], immediates: [0, immediates[1] ?? 1], result: type };
    const name = isUniform ? `${type.element}_load` : this.#scope.vocabulary.function(load);
    this.#values.define(result, { kind: isUniform ? "uniform" : "whole", type, stem: root.name, text: `${name}(${place})`, reads });
  }

  /** A scalar: one lane of whatever the vector is. */
  #lane(statement: Let): void {
    const lanes = this.#values.readable(this.#values.take(operandOf(statement)));
    const text = this.#values.lane(lanes, statement.immediates[0] ?? 0);
    this.#scope.define(statement.result, { text, isSimple: isPrimary(text), reads: lanes.reads, isNatural: false }, stemOf(statement.op));
  }

  /** What must be bytes in memory: a call on whole vectors and scalars. Other lanes of the same scalar over and over are made of it alone. */
  #call({ op, args, immediates, result }: Let): void {
    const operands = args.map((arg) => {
      if (arg.type.lanes === 1) return { ...this.#scope.use(arg), type: arg.type, stem: stemOf(op) };
      const lanes = this.#values.take(arg);
      const { stem, reads } = lanes;
      if (op === "bitcast" && lanes.kind === "uniform") return { text: lanes.text, type: { ...arg.type, lanes: 1 }, reads, stem };
      return { text: this.#values.whole(lanes), type: arg.type, reads, stem };
    });
    // Bytes that are only seen as other lanes are still what they were.
    const stem = op === "bitcast" ? required(operands[0], "operand").stem : stemOf(op);
    const operation = { op: operationName(op), operands: operands.map(({ type }) => type), immediates, result: result.type };
    const text = `${this.#scope.vocabulary.function(operation)}(${operands.map((operand) => operand.text).join(", ")})`;
    const reads = readsOf(operands);
    if (result.type.lanes === 1) this.#scope.define(result, { text, isSimple: true, reads, isNatural: false }, stem);
    else this.#values.define(result, { kind: "whole", type: result.type, stem, text, reads });
  }

  /** One expression for each lane; a scalar where all operands are. */
  #row({ op, args, immediates, result }: Let): void {
    const name = operationName(op);
    const taken = args.map((arg) => this.#values.take(arg));
    const isUniform = taken.every(({ kind }) => kind === "uniform");
    const operands = isUniform ? taken : taken.map((lanes, k) => this.#operand(lanes, laneUse(name, k)));
    const [type, stem] = [result.type, stemOf(op)];
    const call: LaneCall = {
      type,
      operands: args.map((arg) => arg.type),
      immediates,
      x: (k, i) => laneOf(required(operands[k], "operand"), i),
      test: (k, i) => required(operands[k], "operand").test?.(i),
    };
    const [row, comparison] = [laneRowOf(name), comparisons[name]];
    const test = comparison && ((i: string): string => comparison(call, i));
    if (isUniform) {
      this.#values.define(result, { kind: "uniform", type, stem, text: row(call, "0"), ...(test && { test }), reads: readsOf(taken) });
      return;
    }
    const made = { type, stem, at: (i: string) => row(call, i), ...(test && { test }) };
    this.#values.define(
      result,
      eachOf(
        made,
        operands.map((lanes, k) => ({ lanes, isOwn: laneUse(name, k) === "own" })),
      ),
    );
  }

  #operand(lanes: Lanes, use: LaneUse): Readable {
    return use === "own" ? this.#values.readable(lanes) : this.#values.spread(lanes, use === "shared");
  }

  /** Other lanes of one vector or of two end to end: arithmetic on the index, or a table of lanes. */
  #shuffle({ op, args, immediates, result }: Let): void {
    const [type, stem] = [result.type, stemOf(op)];
    const operands = args.map((arg) => this.#operand(this.#values.take(arg), "others"));
    const define = (at: (i: string) => string): void => {
      this.#values.define(
        result,
        eachOf(
          { type, stem, at },
          operands.map((lanes) => ({ lanes, isOwn: false })),
        ),
      );
    };
    const [a = internal("a shuffle of nothing"), b] = operands;
    const [first = 0, second = first] = immediates;
    if (!b && isProgression(immediates)) {
      if (first < second) define((i) => laneOf(a, laneIndex(i, second - first, first)));
      else this.#values.define(result, { kind: "uniform", type, stem, text: this.#values.lane(a, first), reads: a.reads });
      return;
    }
    const table = this.#scope.names.numbered("order");
    this.#scope.line(`static const uint16_t ${table}[] = {${immediates.join(", ")}};`);
    define((i) => {
      const k = `${table}[${i}]`;
      return b ? `${k} < ${a.type.lanes} ? ${laneOf(a, k)} : ${laneOf(b, `${k} - ${a.type.lanes}`)}` : laneOf(a, k);
    });
  }
}

interface Operand {
  readonly lanes: Lanes;
  readonly isOwn: boolean;
}

/** An expression for each lane, made of operands of which it reads its own lane or others; `test` is its condition where it is a comparison. */
function eachOf({ type, stem, at, test }: Pick<Each, "type" | "stem" | "at" | "test">, operands: readonly Operand[]): Each {
  const own = operands.flatMap(({ lanes, isOwn }) => (isOwn && lanes.kind === "each" ? [...lanes.own] : []));
  const other = operands.flatMap(({ lanes, isOwn }) => (lanes.kind === "each" ? [...lanes.other, ...(isOwn ? [] : lanes.own)] : []));
  const reads = readsOf(operands.map(({ lanes }) => lanes));
  return { kind: "each", type, stem, at, ...(test && { test }), own: new Set(own), other: new Set(other), reads };
}

function operandOf({ op, args }: Let): Value {
  return args[0] ?? internal(`${op} of nothing`);
}

function isProgression(values: readonly number[]): boolean {
  const [first = 0, second = first] = values;
  return second >= first && values.every((value, i) => value === first + i * (second - first));
}
