/** The interpreter's own part: memory and its limits, variables, loops and conditions. */

import { describe, expect, test } from "vitest";
import { InternalError } from "../../compiler/errors.ts";
import { recordKernel, type KernelBuilder } from "../../compiler/kernel/builder.ts";
import { interpretKernel } from "../../compiler/kernel/interpret.ts";
import { f32, i32, vector } from "../../compiler/kernel/ir.ts";
import { double, evaluate, floats } from "./support.ts";

describe("memory", () => {
  test("a kernel reads and writes what its parameters point at", () => {
    const [x, y] = [floats(1, -2, 0.5), floats(9, 9, 9, 9)];
    interpretKernel(double, [x, y, 3]);
    expect([...y.numbers]).toEqual([2, -4, 1, 9]);
  });

  test("a kernel runs again on other arguments", () => {
    const y = floats(0);
    interpretKernel(double, [floats(3), y, 1]);
    interpretKernel(double, [floats(5), y, 1]);
    expect([...y.numbers]).toEqual([10]);
  });

  test("regions may be views on one buffer", () => {
    const { bytes, numbers } = floats(1, 2, 3);
    interpretKernel(double, [{ bytes: bytes.subarray(0, 8) }, { bytes: bytes.subarray(4) }, 2]);
    expect([...numbers]).toEqual([1, 2, 4]);
  });

  test.each([
    ["a read past the end", [floats(1), floats(0, 0), 2], "kernel double: read of 4 bytes at byte 4 of x, which has 4 bytes"],
    ["a write past the end", [floats(1, 2), floats(0), 2], "kernel double: write of 4 bytes at byte 4 of y, which has 4 bytes"],
    ["a missing argument", [floats(1), floats(1)], "takes 3 arguments, not 2"],
    ["a number for a pointer", [1, floats(1), 1], "1 is no ptr for x"],
    ["a region for a scalar", [floats(1), floats(1), floats(1)], "a region is no i32 for n"],
    ["a scalar that is no i32", [floats(1), floats(1), 2 ** 31], "2147483648 is no i32 for n"],
  ])("%s is an internal error", (_, args, message) => {
    expect(() => {
      interpretKernel(double, args);
    }).toThrow(InternalError);
    expect(() => {
      interpretKernel(double, args);
    }).toThrow(message);
  });

  test("a pointer may lie outside of its region, an access may not", () => {
    const kernel = recordKernel("back", "a step back, and an index forward", (b) => {
      const x = b.pointer("x", "read-write", "");
      const forward = b.scalar("forward", "");
      b.store(b.int(7), b.advance(x, -1, 4), forward, 0, 1, "i8");
    });
    const bytes = new Uint8Array(2);
    interpretKernel(kernel, [{ bytes }, 5]);
    expect([...bytes]).toEqual([0, 7]);
    expect(() => {
      interpretKernel(kernel, [{ bytes }, 3]);
    }).toThrow("kernel back: write of 1 bytes at byte -1 of x, which has 2 bytes");
  });

  test("what is only written cannot be read, nor the reverse", () => {
    const run = (access: "read" | "write", record: (b: KernelBuilder) => void): (() => void) => {
      const kernel = recordKernel("access", access, record);
      return () => {
        interpretKernel(kernel, [{ bytes: new Uint8Array(8) }]);
      };
    };
    const reading = run("write", (b) => {
      const x = b.pointer("x", "write", "");
      b.store(b.load(i32, x), x, 4);
    });
    expect(reading).toThrow("kernel access: cannot read x (write) at byte 0");
    const writing = run("read", (b) => {
      const x = b.pointer("x", "read", "");
      b.store(b.load(i32, x), x, 4);
    });
    expect(writing).toThrow("kernel access: cannot write x (read) at byte 4");
  });

  test("partial loads and stores touch no byte beyond their count", () => {
    const kernel = recordKernel("partial", "three of four", (b) => {
      const x = b.pointer("x", "read", "");
      const y = b.pointer("y", "write", "");
      b.store(b.load(vector("f32", 4), x, 0, 0, 3), y, 4, 0, 3);
    });
    const y = floats(8, 8, 8, 8);
    interpretKernel(kernel, [floats(1, 2, 3), { bytes: y.bytes }]);
    expect([...y.numbers]).toEqual([8, 1, 2, 3]);
  });

  test("stores cut an i32 to the element in memory", () => {
    const kernel = recordKernel("cut", "narrow stores", (b) => {
      const y = b.pointer("y", "write", "");
      b.store(b.int(0x12345), y, 0, 0, 1, "i16");
      b.store(b.int(-1), y, 3, 0, 1, "i8");
    });
    const bytes = new Uint8Array(5);
    interpretKernel(kernel, [{ bytes }]);
    expect([...bytes]).toEqual([0x45, 0x23, 0, 255, 0]);
  });

  test("advance moves by index times stride, and chains", () => {
    const kernel = recordKernel("chain", "x[2 * 4 + 4]", (b) => {
      const x = b.pointer("x", "read", "");
      const y = b.pointer("y", "write", "");
      const n = b.scalar("n", "");
      b.store(b.load(f32, b.advance(b.advance(x, n, 4), 1, 4)), y);
    });
    const y = floats(0);
    interpretKernel(kernel, [floats(1, 2, 3, 4), y, 2]);
    expect([...y.numbers]).toEqual([4]);
  });
});

describe("control flow", () => {
  test.each([
    [0, 10, 3, 0 + 3 + 6 + 9],
    [-4, 1, 2, -4 + -2 + 0],
    [5, 5, 1, 0],
    [6, 5, 1, 0],
  ])("a loop from %i to %i by %i", (from, to, step, sum) => {
    const result = evaluate([from, to], (b, [first, last]) => {
      const total = b.variable("total", b.int(0));
      b.for("i", first ?? 0, last ?? 0, step, (i) => {
        b.assign(total, b.add(b.read(total), i));
      });
      return b.read(total);
    });
    expect(result).toBe(sum);
  });

  test("a value read from a variable stays what it was", () => {
    const result = evaluate([3], (b, [a = b.int(0)]) => {
      const variable = b.variable("v", a);
      const before = b.read(variable);
      b.assign(variable, b.int(40));
      return b.add(before, b.read(variable));
    });
    expect(result).toBe(43);
  });

  test.each([
    [2, 1],
    [-1, 1],
    [0, 5],
  ])("a condition of %i takes its branch", (condition, expected) => {
    const result = evaluate([condition], (b, [a = b.int(0)]) => {
      const variable = b.variable("v", b.int(0));
      b.if(
        a,
        () => {
          b.assign(variable, b.int(1));
        },
        () => {
          b.assign(variable, b.int(5));
        },
      );
      return b.read(variable);
    });
    expect(result).toBe(expected);
  });

  test("a pointer may walk in a variable", () => {
    const kernel = recordKernel("walk", "sum of n numbers", (b) => {
      const x = b.pointer("x", "read", "");
      const y = b.pointer("y", "write", "");
      const n = b.scalar("n", "");
      const at = b.variable("at", x);
      const sum = b.variable("sum", b.float(0));
      b.for("i", 0, n, 1, () => {
        b.assign(sum, b.add(b.read(sum), b.load(f32, b.read(at))));
        b.assign(at, b.advance(b.read(at), 1, 4));
      });
      b.store(b.read(sum), y);
    });
    const y = floats(0);
    interpretKernel(kernel, [floats(1, 2, 4), y, 3]);
    expect([...y.numbers]).toEqual([7]);
  });
});
