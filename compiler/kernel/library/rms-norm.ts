/**
 * RMS norm: y = (x * r) * w with r = 1 / sqrt(fold16(x * x) / width + epsilon), for each run of `width` elements of a row (a whole
 * row, or one head). The quantising form writes 8-bit groups at once: one kernel, and y never goes to memory.
 */
import { recordKernel, type KernelBuilder } from "../builder.ts";
import type { Kernel, Value } from "../ir.ts";
import { activationParameters } from "./activations.ts";
import { f32Bytes, f32Offset, f32x16, foldLanes, forChunks, laneCount } from "./lanes.ts";
import { numberName } from "./names.ts";
import { quantizeRow, quantizedRow } from "./quantize.ts";
import { rowCount } from "./rows.ts";

export interface RmsNormSpec {
  readonly width: number;
  /** Runs in a row, one after the other. */
  readonly runs: number;
  readonly epsilon: number;
  /** Elements from row to row of the input, and of the output. */
  readonly inputStride: number;
  readonly outputStride: number;
}

/** Rows of f32 to rows of f32. */
export function rmsNorm(spec: RmsNormSpec): Kernel {
  const { width, runs, inputStride, outputStride } = spec;
  return recordKernel(
    `rms_norm_${runs}x${width}_s${inputStride}_s${outputStride}_e${numberName(spec.epsilon)}`,
    `RMS norm of ${runs} runs of ${width} a row`,
    (b) => {
      const x = b.pointer("x", "read", `x [rows, ${runs}, ${width}] f32, rows ${inputStride} apart`);
      const weight = b.pointer("weight", "read", `weight [${width}] f32`);
      const out = b.pointer("out", "write", `y [rows, ${runs}, ${width}] f32, rows ${outputStride} apart`);
      const rows = rowCount(b);
      b.for("row", 0, rows, 1, (row) => {
        b.for("run", 0, runs, 1, (run) => {
          const runBytes = b.mul(run, width * f32Bytes);
          const input = b.advance(b.advance(x, row, inputStride * f32Bytes), runBytes, 1);
          const output = b.advance(b.advance(out, row, outputStride * f32Bytes), runBytes, 1);
          const r = b.splat(inverseRms(b, input, spec), laneCount);
          forChunks(b, width, ({ start, count }) => {
            const at = f32Offset(b, start);
            b.store(b.mul(b.mul(b.load(f32x16, input, at, 0, count), r), b.load(f32x16, weight, at, 0, count)), output, at, 0, count);
          });
        });
      });
    },
  );
}

/** Rows of f32 to rows of 8-bit groups; one run a row. */
export function rmsNormQuantize(spec: Omit<RmsNormSpec, "runs" | "outputStride">): Kernel {
  const { width, inputStride } = spec;
  return recordKernel(
    `rms_norm_quantize_${width}_s${inputStride}_e${numberName(spec.epsilon)}`,
    `RMS norm of rows of ${width}, to 8-bit groups`,
    (b) => {
      const x = b.pointer("x", "read", `x [rows, ${width}] f32, rows ${inputStride} apart`);
      const weight = b.pointer("weight", "read", `weight [${width}] f32`);
      const out = activationParameters(b, width, "write");
      const rows = rowCount(b);
      b.for("row", 0, rows, 1, (row) => {
        const input = b.advance(x, row, inputStride * f32Bytes);
        const r = b.splat(inverseRms(b, input, spec), laneCount);
        quantizeRow(b, width, quantizedRow(b, out, width, row), (start, count) => {
          const at = f32Offset(b, start);
          return b.mul(b.mul(b.load(f32x16, input, at, 0, count), r), b.load(f32x16, weight, at, 0, count));
        });
      });
    },
  );
}

/** 1 / sqrt(mean of squares + epsilon), a scalar. */
function inverseRms(b: KernelBuilder, input: Value, { width, epsilon }: Pick<RmsNormSpec, "width" | "epsilon">): Value {
  const lanes = b.variable("squares", b.literal(f32x16, 0));
  forChunks(b, width, ({ start, count }) => {
    const x = b.load(f32x16, input, f32Offset(b, start), 0, count);
    b.assign(lanes, b.add(b.read(lanes), b.mul(x, x)));
  });
  const mean = b.div(foldLanes(b, b.read(lanes)), width);
  return b.div(b.float(1), b.sqrt(b.add(mean, epsilon)));
}
