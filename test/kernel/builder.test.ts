/** What the builder records: index arithmetic folded, repeated operations once, unused ones not at all. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { recordKernel, type KernelBuilder } from "../../compiler/kernel/builder.ts";
import { f32, i32, vector, type Kernel, type Value } from "../../compiler/kernel/ir.ts";
import { printKernel } from "../../compiler/kernel/print.ts";
import { dropUnused } from "../../compiler/kernel/simplify.ts";
import { evaluate, evaluateLanes } from "./support.ts";

/** The body's lines of a kernel that stores one computed value; parameters are out = %0, n = %1, x = %2. */
function bodyOf(compute: (b: KernelBuilder, n: Value, x: Value) => Value): readonly string[] {
  const kernel = recordKernel("body", "one value", (b) => {
    const out = b.pointer("out", "write", "");
    const n = b.scalar("n", "");
    const x = b.pointer("x", "read", "");
    b.store(compute(b, n, x), out, n);
  });
  return linesOf(kernel);
}

function linesOf(kernel: Kernel): readonly string[] {
  return printKernel(kernel)
    .split("\n")
    .slice(kernel.parameters.length + 3, -2)
    .map((line) => line.trim());
}

describe("folding", () => {
  test.each<readonly [string, (b: KernelBuilder, n: Value, x: Value) => Value]>([
    ["x + 0", (b, n) => b.add(n, 0)],
    ["0 + x", (b, n) => b.add(b.int(0), n)],
    ["x - 0", (b, n) => b.sub(n, 0)],
    ["x * 1", (b, n) => b.mul(n, 1)],
    ["1 * x", (b, n) => b.mul(b.int(1), n)],
    ["x << 0", (b, n) => b.shl(n, 0)],
    ["x / 1", (b, n) => b.divU(n, 1)],
  ])("%s = x", (_, compute) => {
    expect(bodyOf(compute)).toEqual(["store %out.0[%n.1] = %n.1"]);
  });

  test.each<readonly [string, (b: KernelBuilder, n: Value) => Value, string]>([
    ["x * 8 is a shift", (b, n) => b.mul(n, 8), "%n.1 << 3"],
    ["x / 16 is a shift", (b, n) => b.divU(n, 16), "%n.1 >>> 4"],
    ["2 + 3 is known", (b) => b.add(b.int(2), 3), "const(5)"],
    ["x * 0 is known", (b, n) => b.mul(n, 0), "const(0)"],
    ["5 % 3 is known", (b) => b.remU(b.int(5), 3), "const(2)"],
    ["3 < 4 is known", (b) => b.lt(b.int(3), 4), "const(1)"],
  ])("%s", (_, compute, expected) => {
    const [line = "", ...rest] = bodyOf(compute);
    expect(line.split(" = ")[1]).toBe(expected);
    expect(rest).toHaveLength(1);
  });

  test("floating point keeps its operations", () => {
    const lines = bodyOf((b, _, x) => b.add(b.mul(b.load(f32, x), 1), 0));
    expect(lines.map((line) => line.replace(/ = .*/, ""))).toHaveLength(7);
    expect(lines.filter((line) => / [*+] /.test(line))).toHaveLength(2);
  });

  test("float literals are rounded, whatever their type", () => {
    const literals = (type: typeof f32): readonly number[] => evaluateLanes(type, [], (b) => b.literal(type, 0.1));
    expect([...literals(f32), ...literals(vector("f32", 2))]).toEqual([0, 0, 0].map(() => Math.fround(0.1)));
    expect(bodyOf((b) => b.literal(f32, 0.1))[0]).toBe(`%3: f32 = const(${Math.fround(0.1)})`);
    expect(bodyOf((b) => b.lanes("f32", [0.1, 1]))[0]).toBe(`%3: f32x2 = const(${Math.fround(0.1)}, 1)`);
  });

  test("the lanes of a vector in order are the vector, others are not", () => {
    expect(bodyOf((b) => b.part(b.lanes("i32", [1, 2, 3, 4]), 0, 4))).toHaveLength(2);
    expect(bodyOf((b) => b.part(b.lanes("i32", [1, 2, 3, 4]), 0, 2))).toHaveLength(3);
  });

  test("any index expression folds to what it computes unfolded", () => {
    interface Step {
      readonly op: "add" | "sub" | "mul" | "and" | "or" | "shl" | "shrU" | "shrS" | "divU" | "remU" | "lt";
      readonly a: number;
      readonly b: number;
      readonly constant: number;
    }
    const apply = (b: KernelBuilder, inputs: readonly Value[], steps: readonly Step[]): Value => {
      const values = [...inputs];
      for (const { op, a, b: second, constant } of steps) {
        const [x, y] = [values[a % values.length] ?? b.int(0), values[second % values.length] ?? b.int(0)];
        if (op === "shl" || op === "shrU" || op === "shrS") values.push(b.op(op, [x], [constant % 32]));
        else if (op === "divU" || op === "remU") values.push(b.op(op, [x], [constant]));
        else values.push(b.op(op, [x, y]));
      }
      return values.at(-1) ?? b.int(0);
    };
    const step: fc.Arbitrary<Step> = fc.record({
      op: fc.constantFrom("add", "sub", "mul", "and", "or", "shl", "shrU", "shrS", "divU", "remU", "lt"),
      a: fc.nat(100),
      b: fc.nat(100),
      constant: fc.integer({ min: 1, max: 70 }),
    });
    const number = fc.oneof(fc.constantFrom(0, 1, 2, 4, -1), fc.integer());
    fc.assert(
      fc.property(fc.tuple(number, number, number), fc.nat(7), fc.array(step, { minLength: 1, maxLength: 8 }), (inputs, literal, steps) => {
        // Inputs whose bit in `literal` is set are literals in one kernel and arguments in the other.
        const folded = evaluate(inputs, (b, args) =>
          apply(
            b,
            args.map((arg, i) => ((literal >> i) & 1 ? b.int(inputs[i] ?? 0) : arg)),
            steps,
          ),
        );
        expect(folded).toBe(evaluate(inputs, (b, args) => apply(b, args, steps)));
      }),
      { numRuns: 300 },
    );
  });
});

describe("repetition", () => {
  test("a pure operation is recorded once", () => {
    expect(bodyOf((b, n) => b.mul(b.add(n, 3), b.add(n, 3)))).toHaveLength(4);
  });

  test("loads are recorded each time, because memory may change", () => {
    expect(bodyOf((b, n, x) => b.add(b.load(i32, x, n), b.load(i32, x, n)))).toHaveLength(4);
  });

  test("0 and -0 are two constants", () => {
    expect(bodyOf((b) => b.add(b.float(0), b.float(-0)))).toHaveLength(4);
  });

  test("what a finished block computed is computed again after it", () => {
    const kernel = recordKernel("blocks", "two loops", (b) => {
      const out = b.pointer("out", "write", "");
      const n = b.scalar("n", "");
      for (const name of ["i", "j"]) {
        b.for(name, 0, n, 1, (i) => {
          b.store(b.add(n, 5), out, i);
        });
      }
    });
    expect(linesOf(kernel).filter((line) => line.includes("%n.1 + "))).toHaveLength(2);
  });
});

describe("loops of known length", () => {
  const record = (to: number): readonly string[] =>
    linesOf(
      recordKernel("loop", "a loop", (b) => {
        const out = b.pointer("out", "write", "");
        b.for("i", 0, to, 4, (i) => {
          b.store(i, out, i);
        });
      }),
    );

  test("that never run are nothing", () => {
    expect(record(0)).toEqual([]);
  });
  test("that run once are their body", () => {
    expect(record(4)).toEqual(["%1: i32 = const(0)", "store %out.0[%1] = %1"]);
  });
  test("that run twice stay", () => {
    expect(record(5)).toContain("for %i.3 from %1 to %2 step 4 {");
  });
});

describe("unused operations", () => {
  test("are dropped with what only they needed, loads and reads included", () => {
    const kernel = recordKernel("unused", "little", (b) => {
      const out = b.pointer("out", "write", "");
      const n = b.scalar("n", "");
      const v = b.variable("v", n);
      b.add(b.load(i32, out, b.mul(n, 12)), b.read(v));
      b.if(n, () => {
        b.add(n, 77);
        b.store(n, out, n);
      });
    });
    expect(linesOf(kernel)).toEqual(["var @v.2: i32 = %n.1", "if %n.1 {", "store %out.0[%n.1] = %n.1", "}"]);
  });

  test("used ones stay, whether in a bound, a condition, an assignment or a block below", () => {
    const kernel = recordKernel("used", "all", (b) => {
      const out = b.pointer("out", "write", "");
      const n = b.scalar("n", "");
      const v = b.variable("v", b.add(n, 3));
      b.for("i", b.add(n, 5), b.add(n, 7), 1, (i) => {
        b.if(b.lt(i, 9), () => {
          b.assign(v, b.add(i, 11));
          b.store(b.read(v), b.advance(out, n, 13), b.add(n, 15));
        });
      });
    });
    expect(dropUnused(kernel.body)).toEqual(kernel.body);
    expect(linesOf(kernel)).toHaveLength(21);
  });
});
