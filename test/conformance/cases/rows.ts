/** Cases of the kernels that go over rows: norms, quantisation, rope, embedding, row selection, element by element. */

import { argmax, type ArgmaxSpec } from "../../../compiler/kernel/library/argmax.ts";
import { elementwise } from "../../../compiler/kernel/library/elementwise.ts";
import { embedding } from "../../../compiler/kernel/library/embedding.ts";
import type { PanelEncoding } from "../../../compiler/kernel/library/panels.ts";
import { quantize } from "../../../compiler/kernel/library/quantize.ts";
import { rmsNorm, rmsNormQuantize } from "../../../compiler/kernel/library/rms-norm.ts";
import { rope } from "../../../compiler/kernel/library/rope.ts";
import { selectRows } from "../../../compiler/kernel/library/select-rows.ts";
import { blockSize, groupSize, roundUp } from "../../../compiler/numeric/quantize.ts";
import type { Case } from "../case.ts";
import { activations, activationsOf, floats, matrix, ropeRegions, rowList, unwritten, type Flavour, type Row } from "../fills.ts";
import type { Arguments, Fill } from "../image.ts";

/** Around vectors of 4 and 16 lanes, groups of 32 and blocks of 64. */
const widths = [1, 2, 3, 5, 12, 15, 16, 17, 20, 31, 32, 33, 47, 63, 64, 65, 66, 97, 1024];

/** Rows of a call, and what they hold. */
interface Call {
  readonly rows: number;
  readonly flavour: Flavour;
}

const calls: readonly Call[] = [
  { rows: 0, flavour: "ordinary" },
  { rows: 1, flavour: "awkward" },
  { rows: 3, flavour: "ordinary" },
  { rows: 5, flavour: "awkward" },
];

function eachWidth(make: (width: number, call: Call) => Omit<Case, "label">): readonly Case[] {
  return widths.flatMap((width) => calls.map((call) => ({ label: `${call.rows} ${call.flavour} rows`, ...make(width, call) })));
}

/** Room for the three parts of quantised rows. */
export function quantizedOutput(rows: number, width: number): Arguments {
  const columns = roundUp(width, blockSize);
  return { xq: unwritten((rows * columns) / 4), xd: unwritten((rows * columns) / groupSize), xs: unwritten((rows * columns) / groupSize) };
}

export function quantizeCases(): readonly Case[] {
  return eachWidth((width, { rows, flavour }) => {
    const [stride, runs] = [width + 5, width > 17 ? 1 : (width % 3) + 1];
    return {
      kernel: quantize({ width, stride, runs }),
      args: { x: activationsOf(flavour, rows * runs * stride), ...quantizedOutput(rows * runs, width), rows },
    };
  });
}

export function rmsNormQuantizeCases(): readonly Case[] {
  return eachWidth((width, { rows, flavour }) => {
    const inputStride = width + 5;
    return {
      kernel: rmsNormQuantize({ width, epsilon: 1e-5, inputStride }),
      args: { x: activationsOf(flavour, rows * inputStride), weight: floats(width), ...quantizedOutput(rows, width), rows },
    };
  });
}

export function rmsNormCases(): readonly Case[] {
  return eachWidth((width, { rows, flavour }) => {
    const runs = width > 100 ? 1 : (width % 3) + 1;
    const [inputStride, outputStride] = [runs * width + 5, runs * width + 1];
    return {
      kernel: rmsNorm({ width, runs, epsilon: width % 2 === 0 ? 1e-6 : 1e-5, inputStride, outputStride }),
      args: { x: activationsOf(flavour, rows * inputStride), weight: floats(width), out: unwritten(rows * outputStride), rows },
    };
  });
}

function elementwiseCases(combination: "add" | "swiglu"): readonly Case[] {
  return eachWidth((width, { rows, flavour }) => {
    const [strides, outputStride] = [[width, width + 3], width + 1] as const;
    const [a, b] = strides.map((stride) => activationsOf(flavour, rows * stride));
    if (!a || !b) throw new Error("two operands");
    return {
      kernel: elementwise({ combination, width, strides, outputStride }),
      args: { a, b, out: unwritten(rows * outputStride), rows },
    };
  });
}

export function combinationCases(): readonly Case[] {
  return [...elementwiseCases("add"), ...elementwiseCases("swiglu")];
}

/** Values of logits that come often: mixed signs, zeros of both signs, only negative ones, NaN and infinities, nothing to choose. */
const logitValues: readonly (readonly number[])[] = [
  [-1, 2, 2, 0],
  [-0, 0, -0, -1e-45],
  [-3, -2, -2.5, -4],
  [NaN, 1, NaN, -Infinity],
  [NaN, -Infinity, Infinity, 0],
  [-Infinity, NaN],
];

/** Each row of `stride` has `width` logits of these values, of which some, at any place, are larger than the others; its padding is larger than all. */
function logits({ width, stride }: ArgmaxSpec, values: readonly number[], largest: number): Fill {
  return (region, random) => {
    for (let at = 0; at < region.byteLength; at += 4)
      region.setFloat32(at, (at / 4) % stride < width ? random.pick(values) : 2 ** 100, true);
    for (let row = 0; row < region.byteLength; row += 4 * stride)
      for (let i = 0; i < largest; i++) region.setFloat32(row + 4 * random.below(width), 3, true);
  };
}

export function argmaxCases(): readonly Case[] {
  return widths.flatMap((width) => {
    const spec = { width, stride: roundUp(width, 16) + 16 };
    const kernel = argmax(spec);
    const make = (rows: number, values: readonly number[], largest: number): Case => ({
      kernel,
      label: `${rows} rows of ${values.join(" ")}, ${largest} larger`,
      args: { x: floats(rows * spec.stride, logits(spec, values, largest)), out: unwritten(rows), rows },
    });
    return logitValues.flatMap((values) => [make(0, values, 0), make(3, values, 0), make(12, values, 1), make(12, values, 2)]);
  });
}

/** Which rows want logits: none, all, the last, every other. */
const choices: readonly (readonly number[])[] = [[], [0], [1], [1, 1, 1], [0, 0, 1], [1, 0, 1, 0, 1]];

export function selectRowsCases(): readonly Case[] {
  return widths.flatMap((width) => {
    const [inputStride, outputStride] = [width + 5, width + 1];
    const kernel = selectRows({ width, inputStride, outputStride });
    return choices.map((wanted): Case => {
      const chosen = wanted.filter((wants) => wants === 1).length;
      return {
        kernel,
        label: `wanted ${wanted.join("")}`,
        writesNothing: chosen === 0,
        args: {
          row_list: rowList(wanted.map((wantsLogits, token) => ({ wantsLogits, token }))),
          x: floats(wanted.length * inputStride, activations),
          out: unwritten(chosen * outputStride),
          rows: wanted.length,
        },
      };
    });
  });
}

/** On both sides of the tables' stride of 256. */
const ropePositions = [0, 1, 63, 64, 65, 255, 256, 257, 1000];

export function ropeCases(): readonly Case[] {
  const shapes = [2, 12, 20, 32, 34, 64, 66, 128].flatMap((headSize) => [1, 3].map((heads) => ({ heads, headSize })));
  return shapes.flatMap(({ heads, headSize }) => {
    const [inputStride, outputStride] = [heads * headSize + 5, heads * headSize + 1];
    const kernel = rope({ heads, headSize, inputStride, outputStride });
    return [ropePositions, []].map((positions): Case => ({
      kernel,
      label: `${positions.length} rows`,
      args: {
        x: floats(positions.length * inputStride),
        ...ropeRegions(headSize, 1024),
        row_list: rowList(positions.map((position) => ({ position, slot: 7 }))),
        out: unwritten(positions.length * outputStride),
        rows: positions.length,
      },
    }));
  });
}

const encodings: readonly PanelEncoding[] = [
  { weights: "f32" },
  { weights: "f16" },
  { weights: "bf16" },
  { weights: "q4_0", scales: "f16" },
  { weights: "q4_0", scales: "f32" },
  { weights: "q8_0", scales: "f16" },
  { weights: "q3_0", scales: "f16" },
  { weights: "q4_1", scales: "f16" },
  { weights: "q4_1", scales: "f32" },
];

export function embeddingCases(): readonly Case[] {
  const shapes = [1, 16, 33].flatMap((rows) => [4, 20, 64, 72, 100].map((columns) => ({ rows, columns })));
  return encodings.flatMap((encoding) =>
    shapes.flatMap(({ rows: tokens, columns }) => {
      const layout = { encoding, matrices: 1, streams: 1, rows: tokens, columns };
      // Runs of eight columns may write past the row's end, into its padding.
      const stride = roundUp(columns, 16);
      const kernel = embedding({ layout, stride });
      const last: readonly Row[] = [tokens - 1, 0, tokens >> 1, Math.max(0, tokens - 4)].map((token) => ({ token, slot: 1, position: 5 }));
      return [last, []].map((rows): Case => ({
        kernel,
        label: `${tokens} tokens, ${rows.length} rows`,
        args: { row_list: rowList(rows), table: matrix(layout), out: unwritten(rows.length * stride), rows: rows.length },
      }));
    }),
  );
}
