/**
 * The contract op by op, against the words of DESIGN section 4 written out once more as scalar code: the interpreter's own loops are
 * arranged otherwise, so that a slip in either shows as a differing bit.
 */
import { describe, expect, test } from "vitest";
import { contract } from "../../compiler/graph/arithmetic/contract.ts";
import { opNamed } from "../../compiler/graph/ops.ts";
import { SessionState } from "../../compiler/graph/state.ts";
import { dense, quantized, type Tensor } from "../../compiler/graph/tensor.ts";
import type { KvFormat } from "../../compiler/graph/kv-cache.ts";
import type { Attributes } from "../../compiler/graph/types.ts";
import { exp, sigmoid, silu } from "../../compiler/numeric/exp.ts";
import { f16ToF32, f32ToF16, roundHalfEven } from "../../compiler/numeric/half.ts";
import { quantizeActivations } from "../../compiler/numeric/quantize.ts";
import { ropeAngle, ropeTables } from "../../compiler/numeric/rope.ts";
import { groupFormats, type GroupFormatName } from "../../compiler/numeric/weight-groups.ts";
import { quantizeWeights } from "../numeric/matrices.ts";
import { rowsFrom } from "./random-graph.ts";

const f = Math.fround;

/** `count` numbers between -size and size, always the same for a seed. */
function noise(seed: number, count: number, size = 1): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state / 2 ** 31) * size;
  });
}

/** The encodings in groups, each with the number that stands for a zero weight. */
const encodings = [
  { encoding: "q4_0", offset: 8 },
  { encoding: "q8_0", offset: 128 },
] as const;
/** Weights of 1e-5 have subnormal scales, which are stored multiplied by a power of two. */
const sizedEncodings = encodings.flatMap((each) => [1, 1e-5].map((size) => ({ ...each, size })));

function weights(encoding: GroupFormatName, shape: readonly number[], values: Float32Array): Tensor & { kind: "weights" } {
  const width = shape.at(-1) ?? 1;
  return { kind: "weights", shape, groups: quantizeWeights(groupFormats[encoding], values, values.length / width, width) };
}

/** The first output's numbers, for rows of one session from position 0. */
function evaluate(op: string, inputs: readonly Tensor[], attributes: Attributes, positions: number): readonly Tensor[] {
  const state = new SessionState();
  const rows = rowsFrom(Array.from({ length: positions }, () => 0));
  return opNamed(op, op).evaluate({ arithmetic: contract, rows, state }, inputs, attributes);
}

function numbers(tensors: readonly Tensor[], index = 0): readonly number[] {
  const tensor = tensors[index];
  if (tensor?.kind !== "dense" && tensor?.kind !== "index") throw new Error("not numbers");
  return [...tensor.data];
}

describe("linear", () => {
  const [rows, outputs, width] = [3, 6, 75];
  const x = noise(1, rows * width);
  const bias = noise(2, outputs);
  const residual = noise(3, rows * outputs);
  const attributes = { bias: true, residual: true };
  const rest = [dense([outputs], bias), dense([rows, outputs], residual)];
  const epilogue = (acc: number, row: number, n: number): number => f(f(acc + (bias[n] ?? NaN)) + (residual[row * outputs + n] ?? NaN));
  const expected = (output: (row: number, n: number) => number): readonly number[] =>
    Array.from({ length: rows * outputs }, (_, i) =>
      epilogue(output(Math.floor(i / outputs), i % outputs), Math.floor(i / outputs), i % outputs),
    );

  test("f32: one accumulator, k rising, then bias, then residual", () => {
    const w = noise(4, outputs * width);
    const found = evaluate("linear", [dense([rows, width], x), dense([outputs, width], w), ...rest], attributes, rows);
    const product = (row: number, n: number): number => {
      let acc = 0;
      for (let k = 0; k < width; k++) acc = f(acc + f((x[row * width + k] ?? NaN) * (w[n * width + k] ?? NaN)));
      return acc;
    };
    expect(numbers(found)).toEqual(expected(product));
  });

  test.each(sizedEncodings)("f32 times $encoding of size $size: w = scale * (u - $offset), the power of two undone at the end", (each) => {
    const { encoding, offset, size } = each;
    const w = weights(encoding, [outputs, width], noise(5, outputs * width, size));
    const { columns, u, scales, exponent } = w.groups;
    expect(exponent > 0).toBe(size < 1);
    const found = evaluate("linear", [dense([rows, width], x), w, ...rest], attributes, rows);
    const product = (row: number, n: number): number => {
      let acc = 0;
      for (let k = 0; k < width; k++) {
        const value = f((scales[(n * columns) / 32 + Math.floor(k / 32)] ?? NaN) * ((u[n * columns + k] ?? NaN) - offset));
        acc = f(acc + f((x[row * width + k] ?? NaN) * value));
      }
      return f(acc * 2 ** -exponent);
    };
    expect(numbers(found)).toEqual(expected(product));
  });

  test.each(sizedEncodings)("q8 times $encoding of size $size: groups in rising k, scaled by dw * dx", ({ encoding, offset, size }) => {
    const w = weights(encoding, [outputs, width], noise(6, outputs * width, size));
    const { columns, u, scales, exponent } = w.groups;
    const activations = quantizeActivations(x, rows, width);
    const found = evaluate("linear", [quantized(dense([rows, width], x)), w, ...rest], attributes, rows);
    const product = (row: number, n: number): number => {
      let acc = 0;
      for (let group = 0; group < columns / 32; group++) {
        let raw = 0;
        for (let k = 32 * group; k < 32 * group + 32; k++) raw += (u[n * columns + k] ?? NaN) * (activations.q[row * columns + k] ?? NaN);
        // As kernels do it: the offset enters through the group's sum.
        const isum = raw - offset * (activations.sums[(row * columns) / 32 + group] ?? NaN);
        const scale = f((scales[(n * columns) / 32 + group] ?? NaN) * (activations.scales[(row * columns) / 32 + group] ?? NaN));
        acc = f(acc + f(f(isum) * scale));
      }
      return f(acc * 2 ** -exponent);
    };
    expect(numbers(found)).toEqual(expected(product));
  });
});

test.each(encodings)("embedding from $encoding undoes the power of two after the product", ({ encoding, offset }) => {
  const table = weights(encoding, [3, 40], noise(7, 120, 1e-5));
  const { u, scales, exponent, columns } = table.groups;
  expect(exponent).toBeGreaterThan(0);
  const found = numbers(evaluate("embedding", [table], {}, 1));
  const expected = Array.from({ length: 40 }, (_, k) =>
    f(f((scales[Math.floor(k / 32)] ?? NaN) * ((u[k] ?? NaN) - offset)) * 2 ** -exponent),
  );
  expect(columns).toBe(64);
  expect(found).toEqual(expected);
});

test("rms-norm folds by 16, takes 1/sqrt in two roundings, multiplies x*r before w", () => {
  const [width, heads] = [36, 2];
  const x = noise(8, heads * width, 3);
  const w = noise(9, width);
  const found = numbers(
    evaluate("rms-norm", [dense([1, heads * width], x), dense([width], w)], { epsilon: 1e-5, width, quantize: false }, 1),
  );
  const expected = [0, 1].flatMap((head) => {
    const values = [...x.subarray(head * width, (head + 1) * width)];
    const lanes = Array.from({ length: 16 }, (_, lane) =>
      values.filter((_v, i) => i % 16 === lane).reduce((sum, v) => f(sum + f(v * v)), 0),
    );
    const fold = (list: readonly number[]): readonly number[] =>
      list.length === 1 ? list : fold(list.slice(0, list.length / 2).map((v, i) => f(v + (list[i + list.length / 2] ?? NaN))));
    const mean = f((fold(lanes)[0] ?? NaN) / width);
    const r = f(1 / f(Math.sqrt(f(mean + f(1e-5)))));
    return values.map((v, i) => f(f(v * r) * (w[i] ?? NaN)));
  });
  expect(found).toEqual(expected);
});

test("rms-norm with quantize gives the groups of the normalised row", () => {
  const x = dense([2, 40], noise(10, 80));
  const w = dense([40], noise(11, 40));
  const attributes = { epsilon: 1e-5, width: 40 };
  const [plain] = evaluate("rms-norm", [x, w], { ...attributes, quantize: false }, 2);
  const found = evaluate("rms-norm", [x, w], { ...attributes, quantize: true }, 2);
  if (plain?.kind !== "dense") throw new Error("not dense");
  expect(found).toEqual([quantized(plain)]);
});

test("rope rotates by the two tables' angle", () => {
  const [headSize, positions] = [6, 300];
  const x = noise(12, positions * 2 * headSize);
  const found = numbers(evaluate("rope", [dense([positions, 2 * headSize], x)], { headSize, base: 1e4 }, positions));
  const tables = ropeTables(headSize, 1e4, 512);
  for (const position of [0, 1, 255, 256, 299]) {
    for (let i = 0; i < 2 * headSize; i++) {
      const at = (index: number): number => x[position * 2 * headSize + index] ?? NaN;
      const { cos, sin } = ropeAngle(tables, headSize, position, i % 3);
      const high = i % headSize >= 3;
      const expected = high ? f(f(at(i) * cos) + f(at(i - 3) * sin)) : f(f(at(i) * cos) - f(at(i + 3) * sin));
      expect(found[position * 2 * headSize + i]).toBe(expected);
    }
  }
});

test("short-conv: oldest tap first, then bias, then C", () => {
  const [channels, width, positions] = [5, 3, 6];
  const z = noise(13, positions * 3 * channels);
  const taps = noise(14, channels * width);
  const bias = noise(15, channels);
  const inputs = [dense([positions, 3 * channels], z), dense([channels, width], taps), dense([channels], bias)];
  const found = numbers(evaluate("short-conv", inputs, { width, state: 0, bias: true }, positions));
  const part = (third: number, t: number, c: number): number => (t < 0 ? 0 : (z[t * 3 * channels + third * channels + c] ?? NaN));
  const s = (t: number, c: number): number => f(part(0, t, c) * part(2, t, c));
  found.forEach((value, i) => {
    const [t, c] = [Math.floor(i / channels), i % channels];
    const k = (tap: number): number => taps[c * width + tap] ?? NaN;
    const y = f(f(f(k(0) * s(t - 2, c)) + f(k(1) * s(t - 1, c))) + f(k(2) * s(t, c)));
    expect(value).toBe(f(part(1, t, c) * f(y + (bias[c] ?? NaN))));
  });
});

describe.each([3, 36])("attention over heads of %d", (headSize) => {
  const [heads, kvHeads, positions] = [4, 2, 150];
  const q = noise(16, positions * heads * headSize, 4);
  const k = noise(17, positions * kvHeads * headSize, 4);
  const v = noise(18, positions * kvHeads * headSize, 4);
  const scale = headSize ** -0.5;

  /** Number `d` of a head as the cache holds it. */
  function stored(values: Float32Array, kv: KvFormat, d: number): number {
    const x = values[d] ?? NaN;
    if (kv === "f32") return x;
    if (kv === "f16") return f16ToF32(f32ToF16(x));
    const group = values.filter((_, i) => Math.floor(i / 32) === Math.floor(d / 32));
    const m = group.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
    return f(f(m / 127) * roundHalfEven(f(x * f(127 / m))));
  }

  /** Blocks as lists of [position, score], merged pairwise in rising order. */
  function expected(t: number, head: number, window: number | null, kv: KvFormat): readonly number[] {
    const at = (x: Float32Array, position: number, d: number): number => {
      const start = (position * kvHeads + Math.floor(head / 2)) * headSize;
      return stored(x.subarray(start, start + headSize), kv, d);
    };
    const dims = Array.from({ length: headSize }, (_, d) => d);
    const score = (position: number): number =>
      f(dims.reduce((sum, d) => f(sum + f((q[(t * heads + head) * headSize + d] ?? NaN) * at(k, position, d))), 0) * f(scale));
    const visible = Array.from({ length: t + 1 }, (_, position) => position).filter((position) => window === null || position > t - window);
    const blocks = [0, 1, 2]
      .map((block) => visible.filter((position) => Math.floor(position / 64) === block))
      .filter((list) => list.length > 0);
    const partials = blocks.map((list) => {
      const m = list.reduce((max, position) => Math.max(max, score(position)), -Infinity);
      const p = new Map(list.map((position) => [position % 64, exp(f(score(position) - m))]));
      const slots = (lane: number): number => [0, 16, 32, 48].reduce((sum, row) => f(sum + (p.get(lane + row) ?? 0)), 0);
      const tree = (lane: number, stride: number): number =>
        stride === 16 ? slots(lane) : f(tree(lane, 2 * stride) + tree(lane + stride, 2 * stride));
      const o = dims.map((d) => list.reduce((sum, position) => f(sum + f((p.get(position % 64) ?? NaN) * at(v, position, d))), 0));
      return { m, l: tree(0, 1), o };
    });
    const merged = partials.reduce((a, b) => {
      const m = Math.max(a.m, b.m);
      const [x, y] = [exp(f(a.m - m)), exp(f(b.m - m))];
      return { m, l: f(f(a.l * x) + f(b.l * y)), o: dims.map((d) => f(f((a.o[d] ?? NaN) * x) + f((b.o[d] ?? NaN) * y))) };
    });
    return merged.o.map((value) => f(value / merged.l));
  }

  test.each([
    { window: null, kv: "f32" },
    { window: null, kv: "f16" },
    { window: 70, kv: "f32" },
    { window: 1, kv: "f16" },
    { window: null, kv: "q8_0" },
    { window: 70, kv: "q8_0" },
  ] as const)("window $window, cache $kv", ({ window, kv }) => {
    const inputs = [
      dense([positions, heads * headSize], q),
      dense([positions, kvHeads * headSize], k),
      dense([positions, kvHeads * headSize], v),
    ];
    const found = numbers(evaluate("attention", inputs, { heads, kvHeads, headSize, scale, window, state: 0, kv }, positions));
    for (const t of [0, 1, 63, 64, 65, 127, 128, 133, 149]) {
      for (let head = 0; head < heads; head++) {
        const start = (t * heads + head) * headSize;
        expect(found.slice(start, start + headSize), `position ${t}, head ${head}`).toEqual(expected(t, head, window, kv));
      }
    }
  });
});

describe("router and experts", () => {
  const gateRows = [0.5, -0.25, 0.5, 1, 0.5];
  const route = (attributes: Attributes, bias: readonly number[] = []): readonly Tensor[] => {
    const inputs = [dense([1, 1], Float32Array.of(1)), dense([5, 1], Float32Array.from(gateRows))];
    const flags = { expertCount: 5, topK: 3, normalize: false, scale: 1, bias: bias.length > 0, ...attributes };
    return evaluate("router", bias.length > 0 ? [...inputs, dense([5], Float32Array.from(bias))] : inputs, flags, 1);
  };
  const p = gateRows.map(sigmoid);

  test("ties go to the lower index, experts are listed in rising index", () => {
    expect(numbers(route({}))).toEqual([0, 2, 3]);
    expect(numbers(route({ topK: 1 }))).toEqual([3]);
    expect(numbers(route({ topK: 5 }))).toEqual([0, 1, 2, 3, 4]);
  });

  test("the bias chooses and does not weigh", () => {
    const found = route({}, [0, 10, 0, 0, 0.001]);
    expect(numbers(found)).toEqual([1, 3, 4]);
    expect(numbers(found, 1)).toEqual([p[1], p[3], p[4]]);
  });

  test("weights are normalised in rising index, then scaled", () => {
    const sum = f(f((p[0] ?? NaN) + (p[2] ?? NaN)) + (p[3] ?? NaN));
    const expected = [p[0], p[2], p[3]].map((value) => f(f((value ?? NaN) / f(sum + f(1e-6))) * f(2.5)));
    expect(numbers(route({ normalize: true, scale: 2.5 }), 1)).toEqual(expected);
  });

  const cases = encodings.flatMap(({ encoding }) => [false, true].map((quantize) => ({ encoding, quantize })));
  test.each(cases)("experts in $encoding: silu(gate)*up, down, weighed sum from +0, one residual add; x quantised: $quantize", (each) => {
    const { encoding, quantize } = each;
    const [count, inner, width] = [3, 34, 40];
    const x = dense([1, width], noise(20, width));
    // The gates and the up projections of all experts each on their own; the op reads them stacked expert by expert.
    const size = inner * width;
    const [gateValues, upValues] = [noise(21, count * size), noise(22, count * size)];
    const ofExpert = (values: Float32Array, expert: number) => [...values.subarray(expert * size, (expert + 1) * size)];
    const stacked = [0, 1, 2].flatMap((expert) => [...ofExpert(gateValues, expert), ...ofExpert(upValues, expert)]);
    const [gate, up] = [gateValues, upValues].map((values) => weights(encoding, [count, inner, width], values));
    const gateUp = weights(encoding, [count, 2 * inner, width], Float32Array.from(stacked));
    const down = weights(encoding, [count, width, inner], noise(23, count * width * inner));
    const chosen: Tensor = { kind: "index", shape: [1, 2], data: Int32Array.of(0, 2) };
    const r = Float32Array.of(0.3, 0.6);
    const residual = noise(24, width);
    if (!gate || !up) throw new Error("no weights");
    const input = quantize ? quantized(x) : x;
    const inputs = [input, chosen, dense([1, 2], r), gateUp, down, dense([1, width], residual)];
    const found = numbers(evaluate("experts", inputs, { residual: true }, 1));

    const rowsOf = (w: typeof gate, expert: number, rows: number): Tensor & { kind: "weights" } => {
      const { columns, u, scales } = w.groups;
      const [first, end] = [expert * rows, (expert + 1) * rows];
      const groups = {
        ...w.groups,
        rows,
        u: u.slice(first * columns, end * columns),
        scales: scales.slice((first * columns) / 32, (end * columns) / 32),
      };
      return { ...w, shape: [rows, w.shape.at(-1) ?? 1], groups };
    };
    const plain = { bias: false, residual: false };
    const outputs = [0, 2].map((expert) => {
      const gates = numbers(evaluate("linear", [input, rowsOf(gate, expert, inner)], plain, 1));
      const ups = numbers(evaluate("linear", [input, rowsOf(up, expert, inner)], plain, 1));
      const h = dense(
        [1, inner],
        Float32Array.from(gates, (value, i) => f(silu(value) * (ups[i] ?? NaN))),
      );
      return numbers(evaluate("linear", [quantize ? quantized(h) : h, rowsOf(down, expert, width)], plain, 1));
    });
    const expected = Array.from({ length: width }, (_, d) => {
      const sum = outputs.reduce((total, y, i) => f(total + f((r[i] ?? NaN) * (y[d] ?? NaN))), 0);
      return f(sum + (residual[d] ?? NaN));
    });
    expect(found).toEqual(expected);
  });
});

test("swiglu is silu(gate) * up, each rounded", () => {
  const gate = noise(25, 20, 5);
  const up = noise(26, 20, 5);
  const found = numbers(evaluate("swiglu", [dense([2, 10], gate), dense([2, 10], up)], {}, 2));
  expect(found).toEqual(Array.from(gate, (value, i) => f(silu(value) * (up[i] ?? NaN))));
});
