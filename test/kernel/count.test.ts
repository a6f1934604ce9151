/** Counts of kernels small enough to count by hand. */

import { describe, expect, test } from "vitest";
import { recordKernel, type KernelBuilder } from "../../compiler/kernel/builder.ts";
import { countKernel, type Count } from "../../compiler/kernel/count.ts";
import { f32, i32, vector, type Value } from "../../compiler/kernel/ir.ts";
import { storeEpilogue } from "../../compiler/kernel/library/epilogues.ts";
import { gemm } from "../../compiler/kernel/library/gemm.ts";
import { double } from "./support.ts";

const f32x16 = vector("f32", 16);

/** Counts a kernel of x (read), out (written) and n. */
function counted(record: (b: KernelBuilder, x: Value, out: Value, n: Value) => void, n?: number, options = {}): Count {
  const kernel = recordKernel("counted", "to be counted", (b) => {
    record(b, b.pointer("x", "read", ""), b.pointer("out", "write", ""), b.scalar("n", ""));
  });
  return countKernel(kernel, n === undefined ? {} : { n }, options);
}

test("a loop counts as often as it runs", () => {
  expect(countKernel(double, { n: 10 })).toEqual({
    loads: 10,
    loadBytes: 40,
    stores: 10,
    storeBytes: 40,
    operations: 10,
    addressing: 10,
    multiplies: 0,
    iterations: 10,
    byOperation: { load: 10, add: 10, shl: 10 },
    regions: { x: { loadBytes: 40, storeBytes: 0 }, y: { loadBytes: 0, storeBytes: 40 } },
  });
  expect(countKernel(double, { n: -3 }).loads).toBe(0);
});

test("the matrix product multiplies rows x outputs x columns and reads each weight once a tile", () => {
  const layout = { encoding: { weights: "f32" }, matrices: 1, streams: 1, rows: 32, columns: 24 } as const;
  const epilogue = storeEpilogue({ stride: 32, bias: false, residualStride: null });
  const kernel = gemm({
    layout,
    inputStride: 24,
    tile: { rows: 2, unpackedParts: null, streamedPanels: null },
    atom: null,
    byExpert: false,
    epilogue,
  });
  const count = countKernel(kernel, { rows: 5 });
  expect(count.multiplies).toBe(5 * 32 * 24);
  // Three tiles (2, 2, 1 rows) read the whole matrix each.
  expect(count.regions.weights).toEqual({ loadBytes: 3 * 32 * 24 * 4, storeBytes: 0 });
  expect(count.regions.x?.loadBytes).toBe(5 * 24 * 4 * 2);
  expect(count.regions.out?.storeBytes).toBe(5 * 32 * 4);
});

describe("instructions", () => {
  test("follow the machine's vectors", () => {
    const square = (b: KernelBuilder, x: Value, out: Value): void => {
      const value = b.load(f32x16, x);
      b.store(b.mul(value, value), out);
    };
    const figures = (vectorBytes: number): readonly number[] => {
      const { loads, stores, operations } = counted(square, 1, { vectorBytes });
      return [loads, stores, operations];
    };
    expect([16, 32, 64].map(figures)).toEqual([
      [4, 4, 4],
      [2, 2, 2],
      [1, 1, 1],
    ]);
  });

  test("dotPairs multiplies twice a lane, addresses do not multiply", () => {
    const { multiplies, operations, addressing } = counted((b, x, out, n) => {
      const value = b.load(vector("i16", 32), x, b.mul(n, 12));
      b.store(b.dotPairs(value, value), out);
    });
    expect([multiplies, operations, addressing]).toEqual([32, 4, 1]);
  });

  test("whole registers move for free, others do not", () => {
    const moves = (start: number): number =>
      counted((b, x, out) => {
        const value = b.load(f32x16, x);
        b.store(b.concat(b.part(value, start, 4), b.part(value, start + 4, 4)), out);
      }).operations;
    expect([moves(8), moves(6)]).toEqual([0, 2]);
    const halves = counted((b, x, out) => {
      b.store(b.concat(b.load(vector("i8", 8), x), b.load(vector("i8", 8), x)), out);
    });
    expect(halves.operations).toBe(1);
  });

  test("loads count the bytes that they read", () => {
    const { loads, loadBytes } = counted((b, x, out) => {
      b.store(b.load(f32x16, x, 0, 0, 5), out);
      b.store(b.loadSplat(f32x16, x), out);
      b.store(b.add(b.load8(x), b.load16(x)), out);
    });
    expect([loads, loadBytes]).toEqual([2 + 1 + 1 + 1, 20 + 4 + 1 + 2]);
  });

  test("bytes belong to the parameter behind a pointer, through advance and variables", () => {
    const { regions } = counted((b, x, out, n) => {
      const at = b.variable("at", b.advance(x, n, 4));
      b.store(b.load(f32, b.advance(b.read(at), n, 4)), b.advance(out, n, 4));
    });
    expect(regions).toEqual({ x: { loadBytes: 4, storeBytes: 0 }, out: { loadBytes: 0, storeBytes: 4 } });
  });
});

describe("what decides loops and conditions", () => {
  /** Stores one number in a loop named "inner". */
  const inner = (b: KernelBuilder, out: Value, to: Value): void => {
    b.for("inner", 0, to, 1, (j) => {
      b.store(j, out, j);
    });
  };

  test("the index of a loop outside: a triangle", () => {
    const count = counted((b, _, out, n) => {
      b.for("outer", 0, n, 1, (i) => {
        inner(b, out, b.add(i, 1));
      });
    }, 10);
    expect(count.stores).toBe(55);
    expect(count.iterations).toBe(65);
  });

  test("a condition on the index takes its branch each time", () => {
    const count = counted((b, x, out, n) => {
      b.for("i", 0, n, 1, (i) => {
        b.if(
          b.lt(i, 3),
          () => {
            b.store(i, out, i);
          },
          () => {
            b.store(b.load(i32, x, i), out, i);
          },
        );
      });
    }, 10);
    expect([count.stores, count.loads]).toEqual([10, 7]);
  });

  test("memory: as the caller assumes, once by default", () => {
    const record = (b: KernelBuilder, x: Value, out: Value): void => {
      inner(b, out, b.load(i32, x));
    };
    expect(counted(record).stores).toBe(1);
    expect(counted(record, 1, { assume: 7 }).stores).toBe(7);
    expect(counted(record, 1, { assume: { inner: 5 } }).stores).toBe(5);
    expect(counted(record, 1, { assume: { other: 5 } }).stores).toBe(1);
  });

  test("an argument that is not given is not known", () => {
    const record = (b: KernelBuilder, _: Value, out: Value, n: Value): void => {
      inner(b, out, n);
    };
    expect([counted(record, 4, { assume: 9 }).stores, counted(record, undefined, { assume: 9 }).stores]).toEqual([4, 9]);
  });

  test("an unknown condition takes the dearer branch", () => {
    const record = (swap: boolean) => (b: KernelBuilder, x: Value, out: Value) => {
      const dear = (): void => {
        b.store(b.load(f32x16, x), out);
      };
      const cheap = (): void => {
        b.store(b.int(1), out);
      };
      b.if(b.load(i32, x), swap ? dear : cheap, swap ? cheap : dear);
    };
    expect([counted(record(true)).stores, counted(record(false)).stores]).toEqual([4, 4]);
  });
});
