/** What becomes of a matrix product's sums: each epilogue is one file-sized idea, and all store 16 outputs of one row. */
import type { KernelBuilder } from "../builder.ts";
import type { Value } from "../ir.ts";
import { silu } from "./functions.ts";
import type { GemmSpec, TileRow } from "./gemm.ts";
import { chunkBytes, f32Bytes, f32x16, laneCount } from "./lanes.ts";
import { rowFields, rowList, type StateAddress } from "./rows.ts";

type GemmEpilogue = GemmSpec["epilogue"];

/** Pointer to a row of f32 outputs, and the byte offset of the panel in it. */
function outputAt(b: KernelBuilder, out: Value, stride: number, tile: TileRow): { pointer: Value; index: Value } {
  return { pointer: b.advance(out, tile.row, stride * f32Bytes), index: b.mul(tile.panel, chunkBytes) };
}

/** y = sum, then + bias[n], then + residual[row, n]. Strides are in elements and cover whole panels. */
export function storeEpilogue({
  stride,
  bias,
  residualStride,
}: {
  stride: number;
  bias: boolean;
  residualStride: number | null;
}): GemmEpilogue {
  const name = ["store", `s${stride}`, ...(bias ? ["bias"] : []), ...(residualStride === null ? [] : [`residual${residualStride}`])].join(
    "_",
  );
  return {
    name,
    emit: (b) => {
      const biases = bias ? b.pointer("bias", "read", "bias [n] f32") : null;
      const residual =
        residualStride === null
          ? null
          : { pointer: b.pointer("residual", "read", `residual [rows, n] f32, rows ${residualStride} apart`), stride: residualStride };
      const out = b.pointer("out", "write", `y [rows, n] f32, rows ${stride} apart`);
      return (tile) => {
        const { pointer, index } = outputAt(b, out, stride, tile);
        let y = tile.sum(0);
        if (biases) y = b.add(y, b.load(f32x16, biases, index));
        if (residual) y = b.add(y, b.load(f32x16, b.advance(residual.pointer, tile.row, residual.stride * f32Bytes), index));
        b.store(y, pointer, index);
      };
    },
  };
}

/** y = silu(gate) * up, of two streams. */
export function swigluEpilogue({ stride }: { stride: number }): GemmEpilogue {
  return {
    name: `swiglu_s${stride}`,
    emit: (b) => {
      const out = b.pointer("out", "write", `silu(gate) * up [rows, n] f32, rows ${stride} apart`);
      return (tile) => {
        const { pointer, index } = outputAt(b, out, stride, tile);
        b.store(b.mul(silu(b, tile.sum(0)), tile.sum(1)), pointer, index);
      };
    },
  };
}

export interface ShortConvSpec {
  /** Taps. */
  readonly width: number;
  /** Channels, padded to whole panels: elements of a ring row. */
  readonly channels: number;
  readonly bias: boolean;
  /** Rows of the ring, more than `width`. */
  readonly ring: number;
  readonly state: StateAddress;
  readonly stride: number;
}

/**
 * The gated short convolution, of three streams B, C and X: s = B * X goes into the session's ring of recent rows at position mod
 * ring; y = sum of tap_j * s[position - (width - 1) + j], oldest first, s before the sequence's start being 0; out = C * (y + bias).
 * Rows of one session rise in position within a call, so that earlier rows of the call are in the ring already.
 */
export function shortConvEpilogue(spec: ShortConvSpec): GemmEpilogue {
  const { width, channels, bias, ring, state, stride } = spec;
  return {
    name: `conv${width}_s${stride}_ring${ring}x${channels}_slot${state.slotBytes}${bias ? "_bias" : ""}`,
    emit: (b) => {
      const projectionBias = bias ? b.pointer("projection_bias", "read", `bias of B, C, X: [3, ${channels}] f32`) : null;
      const taps = b.pointer("taps", "read", `taps [${width}, ${channels}] f32, oldest first`);
      const biases = bias ? b.pointer("bias", "read", `bias [${channels}] f32`) : null;
      const rows = rowList(b);
      const rings = b.pointer("ring", "read-write", `ring of recent B * X rows: [${ring}, ${channels}] f32 a session`);
      const out = b.pointer("out", "write", `C * conv(B * X) [rows, ${channels}] f32`);
      return (tile) => {
        const { pointer, index } = outputAt(b, out, stride, tile);
        const stream = (i: number): Value => {
          const sum = tile.sum(i);
          return projectionBias ? b.add(sum, b.load(f32x16, projectionBias, index, i * channels * f32Bytes)) : sum;
        };
        const { slot, position } = rowFields(b, rows, tile.row);
        const session = b.advance(rings, slot, state.slotBytes);
        const gated = b.mul(stream(0), stream(2));
        const at = (back: number): Value => b.add(b.mul(b.remU(b.add(position, ring - back), ring), channels * f32Bytes), index);
        b.store(gated, session, at(0));
        let y = b.literal(f32x16, 0);
        for (let tap = 0; tap < width; tap++) {
          const back = width - 1 - tap;
          const recent = back === 0 ? gated : sinceStart(b, b.load(f32x16, session, at(back)), position, back);
          y = b.add(y, b.mul(b.load(f32x16, taps, index, tap * channels * f32Bytes), recent));
        }
        if (biases) y = b.add(y, b.load(f32x16, biases, index));
        b.store(b.mul(stream(1), y), pointer, index);
      };
    },
  };
}

/** The value where `position - back` is a position of the sequence, else 0. */
function sinceStart(b: KernelBuilder, value: Value, position: Value, back: number): Value {
  return b.select(b.lt(b.splat(position, laneCount), back), b.literal(f32x16, 0), value);
}
