/**
 * AVX-512 with the tile registers of AMX: sixteen rows of activations by a panel's sixteen rows of weights, a whole group in one instruction.
 * Rows that fill no tile are AVX-512 VNNI's. A group's nibbles are unpacked to a scratch tile in memory, where tiles are loaded from.
 */
import { tilesOf, type AtomFormat, type DotAtom } from "../../../compiler/kernel/atom.ts";
import { required } from "../../../compiler/errors.ts";
import { vector, type Value } from "../../../compiler/kernel/ir.ts";
import { panelRows, runLength } from "../../../compiler/kernel/library/panels.ts";
import { groupSize } from "../../../compiler/numeric/quantize.ts";
import { avx512Vnni } from "./avx512-vnni.ts";
import type { Isa } from "./isa.ts";
import { nibbles } from "./panel-runs.ts";

const tileRows = 16;
const shapes = tilesOf([tileRows]);
const row = vector("i8", groupSize);
const [rest] = avx512Vnni.atoms;

/** A step is a whole group, so nothing accumulates. */
const tileProduct: Omit<AtomFormat, "load"> = {
  isCentred: false,
  step: (b, _, [x], [w]) => [b.dotTile(required(x, "activations"), required(w, "weights"))],
  finish: (b, registers) => registers.flatMap((sums) => rowsOf(sums).map((start) => b.part(sums, start, panelRows))),
};

const tiles: DotAtom = {
  name: "amx",
  tile: { m: tileRows, n: panelRows, k: groupSize },
  tiles: { nibbles: shapes, bytes: shapes },
  rest: required(rest, "atom of single rows"),
  loadActivations: (b, places) => [b.concat(...places.map(({ pointer, index, offset }) => b.load(row, pointer, index, offset)))],
  formats: {
    nibbles: {
      ...tileProduct,
      load: (b, numbers, step) => [b.concat(...nibbles(panelRows, groupSize / runLength).load(b, numbers, step))],
    },
    bytes: {
      ...tileProduct,
      load: (_, { word }) => [word(0, vector("i8", panelRows * groupSize))],
    },
  },
};

/** The first lane of each row of sums. */
function rowsOf({ type }: Value): readonly number[] {
  return Array.from({ length: type.lanes / panelRows }, (_, i) => i * panelRows);
}

export const amx: Isa = {
  ...avx512Vnni,
  name: "amx",
  targets: [...avx512Vnni.targets, "amx-tile", "amx-int8"],
  byMemory: {
    // Tile 0: sums; 1: activations, 32 bytes a row; 2: weights, four columns of 16 rows a row.
    dotTile: ([s = "", u = ""], result, { lanes }) =>
      lanes === tileRows * panelRows
        ? [
            "_tile_zero(0);",
            `_tile_loadd(1, ${s}, 32);`,
            `_tile_loadd(2, ${u}, 64);`,
            "_tile_dpbsud(0, 1, 2);",
            `_tile_stored(0, ${result}, 64);`,
          ]
        : undefined,
  },
  prelude: [
    `/* The shapes of the tiles: rows and bytes a row. */
static void configure_tiles(void) {
  struct { uint8_t palette, start_row, reserved[14]; uint16_t row_bytes[16]; uint8_t rows[16]; } shapes;
  memset(&shapes, 0, sizeof shapes);
  shapes.palette = 1;
  shapes.rows[0] = 16;
  shapes.row_bytes[0] = 64;
  shapes.rows[1] = 16;
  shapes.row_bytes[1] = 32;
  shapes.rows[2] = 8;
  shapes.row_bytes[2] = 64;
  _tile_loadconfig(&shapes);
}`,
  ],
  enter: "configure_tiles();",
  leave: "_tile_release();",
  atoms: [tiles, ...avx512Vnni.atoms],
};
