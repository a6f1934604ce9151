/** Cases of the matrix product: encodings x atoms x tiles x shapes, and of each epilogue. */

import { tilesOf, widthOf, type DotAtom, type TileShape } from "../../../compiler/kernel/atom.ts";
import { required } from "../../../compiler/errors.ts";
import { shortConvEpilogue, storeEpilogue, swigluEpilogue } from "../../../compiler/kernel/library/epilogues.ts";
import { gemm, tileBytes, type GemmSpec } from "../../../compiler/kernel/library/gemm.ts";
import { panelRows, type GroupEncoding, type PanelEncoding, type PanelLayout } from "../../../compiler/kernel/library/panels.ts";
import { roundUp } from "../../../compiler/numeric/quantize.ts";
import { counts, type Case } from "../case.ts";
import { activations, activationsOf, floats, matrix, quantized, rowList, sequence, unwritten, type Row } from "../fills.ts";
import type { Arguments } from "../image.ts";

const floatEncodings: readonly PanelEncoding[] = [{ weights: "f32" }, { weights: "f16" }, { weights: "bf16" }];
const grouped: readonly GroupEncoding[] = [
  { weights: "q4_0", scales: "f16" },
  { weights: "q4_0", scales: "f32" },
  { weights: "q8_0", scales: "f16" },
];
/** Atoms take their numbers as those of q4_0, so that one tile of each atom is enough. */
const nibbles: readonly GroupEncoding[] = [
  { weights: "q3_0", scales: "f16" },
  { weights: "q4_1", scales: "f16" },
  { weights: "q4_1", scales: "f32" },
];
const floatTiles = tilesOf([4, 2, 1]);
const padded = (rows: number): number => roundUp(rows, panelRows);

/** What multiplies: an encoding with an atom and 8-bit activations, or without and with f32 ones, and a number of rows a tile. */
export interface Multiplier {
  readonly encoding: PanelEncoding;
  readonly atom: DotAtom | null;
  readonly tile: TileShape;
  /** Rises from tile to tile of an encoding, and from encoding to encoding: what need not meet every multiplier is taken in turn. */
  readonly turn: number;
}

/** Every encoding with every atom and tile, or with one. */
export function multipliers(atoms: readonly DotAtom[]): readonly Multiplier[] {
  const tilesFor = (encoding: PanelEncoding, tiles: readonly TileShape[]): readonly TileShape[] =>
    nibbles.some((each) => each === encoding) ? tiles.slice(0, 1) : tiles;
  return [
    ...[...floatEncodings, ...grouped, ...nibbles].flatMap((encoding, i) =>
      tilesFor(encoding, floatTiles).map((tile, j) => ({ encoding, atom: null, tile, turn: i + j })),
    ),
    ...atoms.flatMap((atom) =>
      [...grouped, ...nibbles].flatMap((encoding, i) =>
        tilesFor(encoding, atom.tiles[widthOf(encoding.weights)]).map((tile, j) => ({ encoding, atom, tile, turn: i + j })),
      ),
    ),
  ];
}

/** One of `items`, the next with each turn. */
function inTurn<Item>(items: readonly Item[], turn: number): Item {
  return required(items[turn % items.length], "item");
}

/** Rows of a call around a tile's. */
function rowCounts(tile: number): readonly number[] {
  return counts(1, tile - 1, tile, tile + 1, 2 * tile + 1);
}

interface Shape {
  readonly n: number;
  readonly k: number;
  readonly streams?: number;
}

function layoutOf({ encoding }: Multiplier, { n, k, streams = 1 }: Shape): PanelLayout {
  return { encoding, matrices: 1, streams, rows: n, columns: k };
}

/** A gemm case; `extra` are the epilogue's arguments for `rows` rows. */
function product(multiplier: Multiplier, shape: Shape, rows: number, epilogue: GemmSpec["epilogue"], extra: Arguments, label = ""): Case {
  const layout = layoutOf(multiplier, shape);
  const { tile, atom } = multiplier;
  // Rows of f32 lie apart; 8-bit rows have a stride of their own.
  const inputStride = shape.k + 3;
  const kernel = gemm({ layout, inputStride: atom ? null : inputStride, tile, atom, byExpert: false, epilogue });
  const x: Arguments = atom
    ? quantized(rows, shape.k, `${kernel.name} ${rows}`)
    : { x: activationsOf(rows % 2 === 0 ? "awkward" : "ordinary", rows * inputStride) };
  const scratch = unwritten(tileBytes({ layout, tile }) / 4);
  return { kernel, label: `${rows} rows${label}`, args: { ...x, weights: matrix(layout), tile: scratch, rows, ...extra } };
}

interface StoreForm {
  readonly bias: boolean;
  readonly residual: boolean;
}

const storeForms: readonly StoreForm[] = [false, true].flatMap((bias) => [false, true].map((residual) => ({ bias, residual })));

function stored(multiplier: Multiplier, shape: Shape, rows: number, { bias, residual }: StoreForm): Case {
  const stride = padded(shape.n) + 16;
  const residualStride = residual ? padded(shape.n) + 32 : null;
  return product(multiplier, shape, rows, storeEpilogue({ stride, bias, residualStride }), {
    out: unwritten(rows * stride),
    ...(bias ? { bias: floats(padded(shape.n)) } : {}),
    ...(residualStride === null ? {} : { residual: floats(rows * residualStride, activations) }),
  });
}

/** Around panels of 16 rows, runs of 4, groups of 32 and blocks of 64 columns; and a set of panels with a rest. */
function shapesOf({ tile }: Multiplier): readonly Shape[] {
  return [
    { n: 1, k: 1 },
    { n: 15, k: 33 },
    { n: 16, k: 32 },
    { n: 17, k: 63 },
    { n: 31, k: 64 },
    { n: panelRows * (tile.streamedPanels ?? 1) + 17, k: 65 },
    { n: 2, k: 131 },
  ];
}

/** The columns of LFM2's matrices, few and most. */
const [realColumns, mostColumns] = [1024, 10752];

/**
 * Plain sums: for every multiplier every second shape, so that the next tile of an encoding and atom meets the others; row counts around a tile's;
 * bias and residual in turn. Then LFM2's columns, for the first tile of an atom and of most encodings: sums and loops are longer there, and nothing
 * else.
 */
export function gemmCases(atoms: readonly DotAtom[]): readonly Case[] {
  const all = multipliers(atoms);
  const awkward = all.flatMap((multiplier) => {
    const { tile, turn } = multiplier;
    const some = shapesOf(multiplier).filter((_, i) => (i + turn) % 2 === 0);
    return some.flatMap((shape, i) => rowCounts(tile.rows).map((rows) => stored(multiplier, shape, rows, inTurn(storeForms, turn + i))));
  });
  const real = all
    .filter(({ atom, encoding }, i) => atom !== all[i - 1]?.atom || encoding !== all[i - 1]?.encoding)
    .filter(({ encoding }) => !nibbles.some((each) => each === encoding))
    .map((multiplier) => {
      const k = multiplier.atom ? mostColumns : realColumns;
      return stored(multiplier, { n: 32, k }, multiplier.tile.rows + 1, { bias: false, residual: false });
    });
  return [...awkward, ...real];
}

/** Bias and residual in all combinations, in turn; and calls without rows. Sums pass through memory, so that the multiplier hardly matters. */
export function storeCases(atoms: readonly DotAtom[]): readonly Case[] {
  return multipliers(atoms)
    .filter(({ tile }) => tile.rows <= 2)
    .flatMap((multiplier, i) =>
      [0, multiplier.tile.rows + 1].map((rows) => stored(multiplier, { n: 19, k: 37 }, rows, inTurn(storeForms, i))),
    );
}

/** Every multiplier, on rows that fill a panel or not. */
export function swigluCases(atoms: readonly DotAtom[]): readonly Case[] {
  return multipliers(atoms).flatMap((multiplier) => {
    const n = inTurn([1, 21, 16, 35], multiplier.turn);
    const stride = padded(n) + 16;
    return counts(0, multiplier.tile.rows + 1).map((rows) =>
      product(multiplier, { n, k: 66, streams: 2 }, rows, swigluEpilogue({ stride }), { out: unwritten(rows * stride) }),
    );
  });
}

interface ConvForm {
  readonly width: number;
  readonly bias: boolean;
  readonly ring: number;
  readonly channels: number;
}

/** Row lists: from the start, over the ring's end, and sessions mixed. */
function convRows(ring: number): readonly { readonly label: string; readonly rows: readonly Row[] }[] {
  return [
    { label: "from the start", rows: sequence(0, 0, 5) },
    { label: "second position", rows: sequence(1, 1, 1) },
    { label: "over the ring's end", rows: sequence(0, 3 * ring - 2, 6) },
    { label: "two sessions", rows: [...sequence(1, 130, 2), ...sequence(0, 0, 3), ...sequence(1, 132, 1)] },
  ];
}

/** Sessions in the memory of a case. */
const slots = 2;

function convolved(multiplier: Multiplier, { width, bias, ring, channels }: ConvForm): readonly Case[] {
  const wide = padded(channels);
  const ringBytes = ring * wide * 4;
  const slotBytes = ringBytes + 64;
  const stride = wide + 16;
  const epilogue = shortConvEpilogue({ width, channels: wide, bias, ring, state: { slotBytes }, stride });
  return convRows(ring).map(({ label, rows }) =>
    product(
      multiplier,
      { n: channels, k: 34, streams: 3 },
      rows.length,
      epilogue,
      {
        taps: floats(width * wide),
        ...(bias ? { projection_bias: floats(3 * wide), bias: floats(wide) } : {}),
        row_list: rowList(rows),
        // The kernel's pointer is the layer's place in slot 0: the memory ends with the last slot's ring.
        ring: floats(((slots - 1) * slotBytes + ringBytes) / 4),
        out: unwritten(rows.length * stride),
      },
      `, ${label}`,
    ),
  );
}

/** LFM2's width for every second multiplier, other widths for some: what the epilogue does depends on neither encoding nor tile. */
export function shortConvCases(atoms: readonly DotAtom[]): readonly Case[] {
  const all = multipliers(atoms);
  const usual = all.filter(({ turn }) => turn % 2 === 0);
  const widths = [1, 2, 3, 4, 5].flatMap((width) =>
    all
      .filter((_, i) => i % 10 === width)
      .flatMap((multiplier) =>
        convolved(multiplier, { width, bias: width % 2 === 0, ring: width + 1, channels: inTurn([1, 16, 20], width) }),
      ),
  );
  return [...widths, ...usual.flatMap((multiplier, i) => convolved(multiplier, { width: 3, bias: i % 2 === 0, ring: 67, channels: 17 }))];
}
