/** Copies each row to its places (expert-groups): the experts' products then read rows that lie side by side. */
import { blockSize, groupSize, roundUp } from "../../numeric/quantize.ts";
import { recordKernel, type KernelBuilder } from "../builder.ts";
import type { Kernel, Value } from "../ir.ts";
import { activationParameters, floatActivations } from "./activations.ts";
import { placeList, placeOf } from "./expert-groups.ts";
import { copyWords, f32Bytes } from "./lanes.ts";
import { rowCount } from "./rows.ts";

export interface GatherRowsSpec {
  readonly width: number;
  /** Elements from one row of f32 to the next, in both buffers; null for 8-bit rows. */
  readonly stride: number | null;
  readonly topK: number;
  /** Elements from row to row of the places. */
  readonly placeStride: number;
}

/** What lies row by row in one buffer and is to lie so in another. */
interface Part {
  readonly from: Value;
  readonly to: Value;
  /** Numbers of four bytes that belong to a row, and from row to row. */
  readonly words: number;
  readonly stride: number;
}

/** Rows [rows, width] to [rows * topK, width], f32 or in 8-bit groups. */
export function gatherRows({ width, stride, topK, placeStride }: GatherRowsSpec): Kernel {
  const name = `gather_rows_${topK}x${width}_${stride === null ? "q8" : `s${stride}`}_s${placeStride}`;
  return recordKernel(name, `${topK} copies of each row, sorted by expert`, (b) => {
    const parts = stride === null ? quantizedParts(b, width) : [floatPart(b, width, stride)];
    const places = placeList(b, topK, placeStride);
    const rows = rowCount(b);
    b.for("row", 0, rows, 1, (row) => {
      b.for("slot", 0, topK, 1, (slot) => {
        const place = placeOf(b, places, row, slot, placeStride);
        for (const part of parts) {
          const rowBytes = part.stride * f32Bytes;
          copyWords(b, b.advance(part.from, row, rowBytes), b.advance(part.to, place, rowBytes), part.words);
        }
      });
    });
  });
}

function floatPart(b: KernelBuilder, width: number, stride: number): Part {
  const from = floatActivations(b, width, stride);
  return { from, to: b.pointer("out", "write", `copies [rows * k, ${width}] f32, rows ${stride} apart`), words: width, stride };
}

function quantizedParts(b: KernelBuilder, width: number): readonly Part[] {
  const columns = roundUp(width, blockSize);
  const from = activationParameters(b, width);
  const [bytes, groups] = [columns / f32Bytes, columns / groupSize];
  const part = (source: Value, name: string, words: number): Part => {
    return { from: source, to: b.pointer(name, "write", `copies of ${name.slice(-2)}`), words, stride: words };
  };
  return [part(from.q, "out_xq", bytes), part(from.scales, "out_xd", groups), part(from.sums, "out_xs", groups)];
}
