/** Kernels that the tests share: small ones recorded by hand, one of each in the library, and helpers to run them. */

import { recordKernel, type KernelBuilder } from "../../compiler/kernel/builder.ts";
import { interpretKernel } from "../../compiler/kernel/interpret.ts";
import { f32, i32, vector, type Kernel, type Type, type Value } from "../../compiler/kernel/ir.ts";
import { argmax } from "../../compiler/kernel/library/argmax.ts";
import { attention } from "../../compiler/kernel/library/attention.ts";
import { combineExperts } from "../../compiler/kernel/library/combine-experts.ts";
import { elementwise } from "../../compiler/kernel/library/elementwise.ts";
import { embedding } from "../../compiler/kernel/library/embedding.ts";
import { shortConvEpilogue, storeEpilogue, swigluEpilogue } from "../../compiler/kernel/library/epilogues.ts";
import { groupRows } from "../../compiler/kernel/library/expert-groups.ts";
import { gatherRows } from "../../compiler/kernel/library/gather-rows.ts";
import { gemm } from "../../compiler/kernel/library/gemm.ts";
import { kvAppend } from "../../compiler/kernel/library/kv-cache.ts";
import { quantize } from "../../compiler/kernel/library/quantize.ts";
import { rmsNorm, rmsNormQuantize } from "../../compiler/kernel/library/rms-norm.ts";
import { rope } from "../../compiler/kernel/library/rope.ts";
import { router } from "../../compiler/kernel/library/router.ts";
import { selectRows } from "../../compiler/kernel/library/select-rows.ts";

/** y[i] = x[i] + x[i], one by one. */
export const double = recordKernel("double", "twice the numbers", (b) => {
  const x = b.pointer("x", "read", "numbers [n] f32");
  const y = b.pointer("y", "write", "twice the numbers [n] f32");
  const n = b.scalar("n", "how many");
  b.for("i", 0, n, 1, (i) => {
    const at = b.mul(i, 4);
    const value = b.load(f32, x, at);
    b.store(b.add(value, value), y, at);
  });
});

/** Every kind of statement, in odd forms: partial loads and stores, narrow stores, an else, variables, literals of all sorts. */
export const motley = recordKernel("motley_1", "a bit of everything", (b) => {
  const bytes = b.pointer("bytes", "read-write", "");
  const out = b.pointer("out", "write", "what comes out // with slashes [n] {odd}");
  const n = b.scalar("n", "how many");
  const odd = [0, -0, 0.1, 1e-30, -1e30, Infinity, -Infinity, 3];
  const sum = b.variable("sum", b.lanes("f32", odd));
  const seen = b.variable("seen", b.int(0));
  b.for("i", b.int(1), n, 3, (i) => {
    const part = b.load(vector("i8", 8), bytes, i, 5, 3);
    const wide = b.widenS(b.widenU(part));
    b.assign(sum, b.add(b.read(sum), b.toFloat(wide)));
    const half = b.load16(b.advance(bytes, i, 2), b.int(1));
    b.if(
      b.lt(half, 1000),
      () => {
        b.store(half, bytes, i, 0, 1, "i16");
        b.assign(seen, b.add(b.read(seen), b.load8(bytes, i, 7)));
      },
      () => {
        b.if(b.eq(half, i), () => {
          b.store(b.shrU(half, 3), bytes, i, 0, 1, "i8");
        });
      },
    );
  });
  b.store(b.read(sum), out, 0, 0, 5);
  b.store(b.read(seen), out, 0, 32);
  b.store(b.loadSplat(vector("f32", 4), bytes, 0, 4), out, 0, 36, 2);
});

const f32Layout = { encoding: { weights: "f32" }, matrices: 1, streams: 1, rows: 21, columns: 6 } as const;
const q4Layout = { encoding: { weights: "q4_0", scales: "f16" }, matrices: 1, streams: 1, rows: 16, columns: 64 } as const;
const cache = { format: "f16", kvHeads: 1, headSize: 8, context: 64, state: { slotBytes: 4096 } } as const;
const conv = { width: 3, channels: 16, bias: true, ring: 8, state: { slotBytes: 1024 }, stride: 16 } as const;
const floatGemm = {
  layout: f32Layout,
  inputStride: 6,
  tile: { rows: 2, unpackedParts: null, streamedPanels: null },
  atom: null,
  byExpert: false,
} as const;

/** One of each kernel of the library, in small shapes. */
export const libraryKernels: readonly Kernel[] = [
  gemm({ ...floatGemm, epilogue: storeEpilogue({ stride: 32, bias: true, residualStride: 32 }) }),
  gemm({ ...floatGemm, layout: { ...f32Layout, streams: 2 }, epilogue: swigluEpilogue({ stride: 32 }) }),
  gemm({ ...floatGemm, layout: { ...f32Layout, rows: 16, streams: 3 }, epilogue: shortConvEpilogue(conv) }),
  gemm({
    ...floatGemm,
    layout: { ...f32Layout, matrices: 3 },
    byExpert: true,
    epilogue: storeEpilogue({ stride: 32, bias: false, residualStride: null }),
  }),
  gemm({
    ...floatGemm,
    layout: { ...q4Layout, encoding: { weights: "q4_1", scales: "f16" } },
    epilogue: storeEpilogue({ stride: 16, bias: false, residualStride: null }),
  }),
  router({ expertCount: 5, width: 6, topK: 2, bias: true, epsilon: 1e-6, scale: 0.5, inputStride: 6, outputStride: 16 }),
  groupRows({ expertCount: 5, topK: 2, stride: 16 }),
  gatherRows({ width: 20, stride: 32, topK: 2, placeStride: 16 }),
  gatherRows({ width: 40, stride: null, topK: 2, placeStride: 16 }),
  combineExperts({ width: 20, topK: 2, inputStride: 32, outputStride: 32, residualStride: 32, routeStride: 16 }),
  attention({
    ...cache,
    heads: 2,
    scale: 0.5,
    window: 9,
    queryStride: 16,
    outputStride: 16,
    tile: { queries: 2, panels: 1, readsCache: true },
  }),
  kvAppend({ ...cache, keyStride: 8, valueStride: 8 }),
  kvAppend({ ...cache, format: "f32", keyStride: 8, valueStride: 8 }),
  elementwise({ combination: "add", width: 19, strides: [32, 32], outputStride: 32 }),
  embedding({ layout: f32Layout, stride: 16 }),
  embedding({ layout: q4Layout, stride: 64 }),
  embedding({ layout: { ...q4Layout, encoding: { weights: "q3_0", scales: "f16" }, columns: 44 }, stride: 64 }),
  quantize({ width: 40, stride: 48, runs: 1 }),
  rmsNorm({ width: 20, runs: 2, epsilon: 1e-5, inputStride: 40, outputStride: 40 }),
  rmsNormQuantize({ width: 40, epsilon: 1e-5, inputStride: 40 }),
  rope({ heads: 2, headSize: 8, inputStride: 16, outputStride: 16 }),
  selectRows({ width: 5, inputStride: 8, outputStride: 8 }),
  argmax({ width: 37, stride: 48 }),
];

/** A region of bytes holding f32 numbers. */
export function floats(...numbers: readonly number[]): { readonly bytes: Uint8Array; readonly numbers: Float32Array } {
  const array = Float32Array.from(numbers);
  return { bytes: new Uint8Array(array.buffer), numbers: array };
}

/** Records a kernel that computes one i32 from i32 arguments, runs it and returns the result. */
export function evaluate(args: readonly number[], compute: (b: KernelBuilder, args: readonly Value[]) => Value): number {
  return evaluateLanes(i32, args, compute)[0] ?? NaN;
}

/** The lanes of a value of `type` (i32 or f32) computed from i32 arguments. */
export function evaluateLanes(
  type: Type,
  args: readonly number[],
  compute: (b: KernelBuilder, args: readonly Value[]) => Value,
): readonly number[] {
  const kernel = recordKernel("evaluate", "one value", (b) => {
    const out = b.pointer("out", "write", "the value");
    const values = args.map((_, i) => b.scalar(`a${i}`, "argument"));
    b.store(compute(b, values), out);
  });
  const buffer = new ArrayBuffer(4 * type.lanes);
  interpretKernel(kernel, [{ bytes: new Uint8Array(buffer) }, ...args]);
  return Array.from(type.element === "f32" ? new Float32Array(buffer) : new Int32Array(buffer));
}
