/**
 * What regions hold before a kernel runs: activations with all their awkward values, packed weights with sane scales, cached halves,
 * quantised rows, row lists. All finite, because what comes of infinities is outside the numeric contract.
 */

import {
  blockBytes,
  groupBytes,
  groupOffsets,
  isGrouped,
  layoutBytes,
  panelsStart,
  type FloatEncoding,
  type PanelLayout,
} from "../../compiler/kernel/library/panels.ts";
import { rowBytes } from "../../compiler/kernel/library/rows.ts";
import { f32ToBf16, f32ToF16 } from "../../compiler/numeric/half.ts";
import { quantizeActivations } from "../../compiler/numeric/quantize.ts";
import { ropeTables } from "../../compiler/numeric/rope.ts";
import type { Fill, RegionSpec } from "./image.ts";
import { seededBy, type Random } from "./random.ts";

/** f32 numbers that are hard to round to halves: ties, subnormals, magnitudes beyond a half's. */
export const betweenHalves: Fill = (region, random) => {
  for (let at = 0; at < region.byteLength; at += 4) {
    const tie = 1 + (2 * random.below(1024) + 1) / 2048;
    const small = (random.below(1024) + random.pick([0, 0.5, 0.3])) * 2 ** -24;
    const magnitude = random.pick([tie * 2 ** (random.below(31) - 14), small, 65504 + random.below(40), 2 ** 20]);
    region.setFloat32(at, random.pick([1, -1]) * magnitude, true);
  }
};

/** What rows of f32 hold: each kernel is run on both. */
export const flavours = ["ordinary", "awkward"] as const;
export type Flavour = (typeof flavours)[number];

const between = (random: Random, low: number, high: number): number => low + (high - low) * random.unit();

/** Kinds of runs of numbers. */
const runs: readonly ((random: Random) => number)[] = [
  (random) => between(random, -3, 3),
  () => 0,
  (random) => random.pick([0, -0, 1, -1, 2 ** -149, -(2 ** -130), 2 ** -126]),
  (random) => random.pick([1, -1]) * 2 ** between(random, -40, 35),
  (random) => 1e-30 * between(random, -1, 1),
  // 127 is the largest, so the quotients of 8-bit groups are ties: x.5 on both sides of zero.
  (random) => random.pick([127, random.below(127) + 0.5, -random.below(127) - 0.5]),
  // Halfway between two halves, normal and subnormal.
  (random) => random.pick([1, -1, 2 ** -14]) * (1 + (2 * random.below(1024) + 1) / 2048),
  (random) => random.pick([1, -1]) * (random.below(1024) + random.pick([0.5, 0.3])) * 2 ** -24,
  // Where the exponential reaches subnormals, zero and its bounds.
  (random) => between(random, -110, 110),
  (random) => 2 ** -100 * random.pick([0.5, 1, -1, 0.999999]),
];

/** From parts of a vector to more than a group. */
const runLengths = [1, 3, 8, 32, 100];

/** f32 activations: runs of zeros, subnormals, ties, large and small magnitudes among ordinary numbers. */
export const activations: Fill = (region, random) => {
  let left = 0;
  let next = random.pick(runs);
  for (let at = 0; at < region.byteLength; at += 4) {
    if (left === 0) [left, next] = [random.pick(runLengths), random.pick(runs)];
    left--;
    region.setFloat32(at, next(random), true);
  }
};

/** f32 numbers spread evenly over a range. */
export function evenly(low: number, high: number): Fill {
  return (region, random) => {
    for (let at = 0; at < region.byteLength; at += 4) region.setFloat32(at, between(random, low, high), true);
  };
}

/** f32 numbers of ordinary size: weights, taps, biases, what a ring or cache holds. */
export const ordinary = evenly(-2, 2);

/** Small f32 numbers: as scales of cached groups they keep scores apart but near, and their bytes serve as any 8-bit numbers. */
export const small = evenly(-0.005, 0.005);

/** Halves as a cache holds them: finite, subnormals and zeros of both signs among them. */
export const halves: Fill = (region, random) => {
  for (let at = 0; at < region.byteLength; at += 2) {
    const kind = random.below(16);
    const half = kind === 0 ? random.pick([0, 0x8000, 1, 0x8001, 0x3ff, 0x7bff]) : f32ToF16(between(random, -2, 2));
    region.setUint16(at, half, true);
  }
};

/** Region of `count` f32. */
export function floats(count: number, fill: Fill = ordinary): RegionSpec {
  return { bytes: 4 * count, fill };
}

/** Region of `count` f32 activations. */
export function activationsOf(flavour: Flavour, count: number): RegionSpec {
  return floats(count, flavour === "ordinary" ? ordinary : activations);
}

/** Region of `count` f32 that hold canaries. */
export function unwritten(count: number): RegionSpec {
  return { bytes: 4 * count };
}

/** bfloat16 numbers of ordinary size. */
const bfloats: Fill = (region, random) => {
  for (let at = 0; at < region.byteLength; at += 2) region.setUint16(at, f32ToBf16(between(random, -2, 2)), true);
};

const floatFills: Readonly<Record<FloatEncoding["weights"], Fill>> = { f32: ordinary, f16: halves, bf16: bfloats };

/** A packed matrix. A grouped one's header undoes a power of two; scales are normal, of both signs, minimums likewise or 0. */
export function matrix(layout: PanelLayout): RegionSpec {
  const { encoding } = layout;
  const bytes = layoutBytes(layout);
  if (!isGrouped(encoding)) return { bytes, fill: floatFills[encoding.weights] };
  const { scales } = encoding;
  const offsets = groupOffsets(encoding, 0);
  return {
    bytes,
    fill: (region, random) => {
      region.setFloat32(0, 2 ** -random.pick([1, 3, 7]), true);
      for (let block = panelsStart(layout); block < bytes; block += blockBytes(encoding)) {
        const values = block + offsets.values;
        const size = scales === "f16" ? 2 : 4;
        const minimums = block + (offsets.minimums ?? offsets.values);
        for (let at = block; at < minimums; at += size) writeScale(region, at, size, random);
        for (let at = minimums; at < values; at += size) {
          if (random.below(4) > 0) writeScale(region, at, size, random);
          else for (let i = 0; i < size; i++) region.setUint8(at + i, 0);
        }
        for (let at = values; at < values + 2 * groupBytes(encoding); at++) region.setUint8(at, random.below(256));
      }
    },
  };
}

function writeScale(region: DataView, at: number, bytes: number, random: Random): void {
  const scale = random.pick([1, -1]) * 2 ** between(random, -13, -2);
  if (bytes === 2) region.setUint16(at, f32ToF16(scale), true);
  else region.setFloat32(at, scale * random.pick([1, 1, 2 ** -30]), true);
}

/** The three parts of quantised rows, of which the numbers fit together; rows are ordinary and awkward in turn. */
export function quantized(rows: number, width: number, seed: string): Readonly<Record<"xq" | "xd" | "xs", RegionSpec>> {
  const x = new Float32Array(rows * width);
  const random = seededBy(seed);
  for (let row = 0; row < rows; row++) (row % 2 === 0 ? ordinary : activations)(new DataView(x.buffer, 4 * row * width, 4 * width), random);
  const { q, scales, sums } = quantizeActivations(x, rows, width);
  return { xq: copyOf(q), xd: copyOf(scales), xs: copyOf(sums) };
}

function copyOf(part: Int8Array | Float32Array | Int32Array): RegionSpec {
  return {
    bytes: part.byteLength,
    fill: (region) => {
      new Uint8Array(region.buffer, region.byteOffset, region.byteLength).set(new Uint8Array(part.buffer));
    },
  };
}

/** Region of i32 numbers. */
export function integers(numbers: readonly number[]): RegionSpec {
  return copyOf(Int32Array.from(numbers));
}

/** A row of a call; what is left out is 0. */
export interface Row {
  readonly token?: number;
  readonly slot?: number;
  readonly position?: number;
  readonly wantsLogits?: number;
}

/** The row list of a call. */
export function rowList(rows: readonly Row[]): RegionSpec {
  return {
    bytes: rows.length * rowBytes,
    fill: (region) => {
      rows.forEach(({ token = 0, slot = 0, position = 0, wantsLogits = 0 }, i) => {
        [token, slot, position, wantsLogits].forEach((field, j) => {
          region.setInt32(i * rowBytes + 4 * j, field, true);
        });
      });
    },
  };
}

/** Rows of one slot from a position on. */
export function sequence(slot: number, start: number, count: number): readonly Row[] {
  return Array.from({ length: count }, (_, i) => ({ slot, position: start + i }));
}

/** The two RoPE tables as the compiler writes them. */
export function ropeRegions(headSize: number, context: number): Readonly<Record<"low" | "high", RegionSpec>> {
  const { low, high } = ropeTables(headSize, 1e6, context);
  return { low: copyOf(low), high: copyOf(high) };
}
