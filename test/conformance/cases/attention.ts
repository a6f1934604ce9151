/** Cases of the KV cache and of attention: positions around block borders, windows, sessions, head sizes that fill no vector. */

import { runRows, scratchLayout } from "../../../compiler/kernel/library/attention-scratch.ts";
import { attentionTile } from "../../../compiler/kernel/library/attention-tiles.ts";
import { attention } from "../../../compiler/kernel/library/attention.ts";
import { cacheBytes, kvAppend, type KvCacheSpec } from "../../../compiler/kernel/library/kv-cache.ts";
import type { KvFormatName } from "../../../compiler/kernel/library/kv-formats.ts";
import { required } from "../../../compiler/errors.ts";
import type { Case } from "../case.ts";
import {
  activations,
  activationsOf,
  betweenHalves,
  flavours,
  floats,
  halves,
  ordinary,
  rowList,
  sequence,
  small,
  unwritten,
  type Row,
} from "../fills.ts";
import type { Fill, RegionSpec } from "../image.ts";

const context = 192;
/** Sessions in the memory of a case. */
const slots = 3;
const formats = ["f16", "f32", "q8_0"] as const;

interface Heads {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
}

const headShapes: readonly Heads[] = [
  { heads: 1, kvHeads: 1, headSize: 2 },
  { heads: 6, kvHeads: 2, headSize: 12 },
  { heads: 3, kvHeads: 3, headSize: 20 },
  { heads: 4, kvHeads: 1, headSize: 64 },
  { heads: 2, kvHeads: 1, headSize: 34 },
];

/** On both sides of lanes and blocks, and in the last block. */
const borders = [0, 1, 15, 16, 63, 64, 65, 127, 130, context - 1];

function cacheOf(format: KvFormatName, { kvHeads, headSize }: Heads): KvCacheSpec {
  const shape = { format, kvHeads, headSize, context };
  return { ...shape, state: { slotBytes: cacheBytes(shape) + 64 } };
}

const cacheFills: Readonly<Record<KvFormatName, Fill>> = { f32: ordinary, f16: halves, q8_0: small };

/** A layer's cache in every slot, filled as by earlier calls. */
function cacheRegion(spec: KvCacheSpec): RegionSpec {
  const last = cacheBytes(spec);
  return { bytes: (slots - 1) * spec.state.slotBytes + last, fill: cacheFills[spec.format] };
}

/** Rows of several sessions in one call. */
function mixed(positions: readonly number[]): readonly Row[] {
  return positions.map((position, i) => ({ slot: i % slots, position }));
}

export function kvAppendCases(): readonly Case[] {
  return formats.flatMap((format) =>
    headShapes.flatMap((heads) => {
      const cache = cacheOf(format, heads);
      const width = heads.kvHeads * heads.headSize;
      const [keyStride, valueStride] = [width + 5, width];
      const kernel = kvAppend({ ...cache, keyStride, valueStride });
      const calls = [
        { rows: mixed(borders), fill: activations },
        { rows: mixed(borders), fill: betweenHalves },
        { rows: sequence(1, 62, 40), fill: ordinary },
        { rows: [], fill: ordinary },
      ];
      return calls.map(({ rows, fill }, i): Case => ({
        kernel,
        label: `call ${i}, ${rows.length} rows`,
        args: {
          keys: floats(rows.length * keyStride, fill),
          values: floats(rows.length * valueStride, fill),
          row_list: rowList(rows),
          cache: cacheRegion(cache),
          rows: rows.length,
        },
      }));
    }),
  );
}

interface Run {
  readonly heads: Heads;
  readonly window: number | null;
  readonly rows: readonly Row[];
}

/** Vectors for tiles of every form. */
const vectors = [
  { bytes: 16, registers: 16, prefetches: false },
  { bytes: 32, registers: 16, prefetches: true },
  { bytes: 64, registers: 32, prefetches: true },
];

/** Groups of 1 to 4 heads that share a cached head; sizes of no, one and several groups of 32, of one chunk and of more than a tile. */
const groupShapes: readonly Heads[] = [
  { heads: 1, kvHeads: 1, headSize: 8 },
  { heads: 2, kvHeads: 1, headSize: 40 },
  { heads: 3, kvHeads: 1, headSize: 128 },
  { heads: 4, kvHeads: 1, headSize: 80 },
];

/** Runs over borders of blocks, and cut by a gap, by another session, by a step back and by the end of the call. */
const brokenRuns: readonly Row[] = [
  ...sequence(0, 62, 4),
  ...sequence(1, 66, 1),
  ...sequence(2, 127, 2),
  ...sequence(2, 130, 1),
  ...sequence(2, 60, 2),
];

/** One in so many of the items, the next ones with each turn. */
function inTurn<Item>(items: readonly Item[], every: number, turn: number): readonly Item[] {
  return items.filter((_, i) => (i + turn) % every === 0);
}

/** Few rows on every head shape; borders, windows and runs on some, also runs longer than a kernel takes at once. Formats take windows in turn. */
function runs(format: number): readonly Run[] {
  const [smallest, usual] = headShapes;
  const longest = runRows(1);
  return [
    ...headShapes.flatMap((heads, i) =>
      inTurn([null, 100], 2, i + format).map((window) => ({ heads, window, rows: [...mixed([0, 65, 130]), ...sequence(1, 62, 4)] })),
    ),
    ...groupShapes.flatMap((heads, i) => inTurn([null, 3, 70], 3, i + format).map((window) => ({ heads, window, rows: brokenRuns }))),
    ...(smallest
      ? [
          ...inTurn([1, 2, 64, 65], 2, format).map((window) => ({ heads: smallest, window, rows: mixed(borders) })),
          ...inTurn([null, 5], 2, format).map((window) => ({ heads: smallest, window, rows: sequence(1, 40, longest + 2) })),
        ]
      : []),
    ...(usual
      ? [
          { heads: usual, window: null, rows: mixed(borders) },
          { heads: usual, window: null, rows: [] },
        ]
      : []),
  ];
}

export function attentionCases(): readonly Case[] {
  return formats.flatMap((format, turn) =>
    runs(turn).flatMap(({ heads, window, rows }, i): readonly Case[] => {
      const cache = cacheOf(format, heads);
      const width = heads.heads * heads.headSize;
      const [queryStride, outputStride] = [width + 7, width + 16];
      const tile = attentionTile(heads.heads / heads.kvHeads, required(vectors[(i + turn) % vectors.length], "vector"));
      const scale = heads.headSize ** -0.5;
      const kernel = attention({ ...cache, heads: heads.heads, scale, window, queryStride, outputStride, tile });
      // Awkward queries give scores so far apart that one position takes all; ordinary ones spread the weights.
      return flavours.map((flavour) => ({
        kernel,
        label: `${rows.length} ${flavour} rows`,
        args: {
          queries: activationsOf(flavour, rows.length * queryStride),
          row_list: rowList(rows),
          cache: cacheRegion(cache),
          scratch: unwritten(scratchLayout({ ...cache, heads: heads.heads }).bytes / 4),
          out: unwritten(rows.length * outputStride),
          rows: rows.length,
        },
      }));
    }),
  );
}
