/** The tiles that an atom can go in: which are possible at all, and the few of them that are worth measuring. */
import type { DotAtom, TileShape } from "../atom.ts";
import { panelRows } from "./panels.ts";

/** The most rows or panels of a tile: what is beyond would be code without an end. */
const most = 64;

/** Why products with `atom` cannot go in such tiles, or null where they can. */
export function tileFault({ name, tile: { m, n } }: DotAtom, { rows, unpackedParts, streamedPanels }: TileShape): string | null {
  if (rows < 1 || rows > most || rows % m !== 0) return `${rows} rows are no multiple of the ${m} of ${name}, up to ${most}`;
  if (streamedPanels !== null && (streamedPanels < 1 || streamedPanels > most)) return `${streamedPanels} panels are not from 1 to ${most}`;
  if (unpackedParts === null) return null;
  if (m > 1) return `${name} cannot unpack panels: it multiplies ${m} rows at once`;
  if (rows === 1) return "a single row never meets an unpacked panel";
  const parts = panelRows / n;
  return unpackedParts >= 1 && parts % unpackedParts === 0 ? null : `${unpackedParts} does not divide a panel's ${parts} parts of ${name}`;
}

/** Powers of two: rows that are left go one by one, so that uneven tiles lose what they gain. */
const packedRows = [1, 2, 4, 8];
const unpackedRows = [2, 4, 8, 16];
const partCounts = [1, 2, 4];
/** Accumulators of unpacked tiles: twice what 16 registers hold with their operands, so that the best lies inside. */
const mostAccumulators = 16;
const panelCounts = [2, 4, 8, 16];

/** Tiles that multiply many rows, their single rows one panel after the other. */
export function manyRowTiles(atom: DotAtom): readonly TileShape[] {
  const packed = packedRows.map((rows) => ({ rows: rows * atom.tile.m, unpackedParts: null, streamedPanels: null }));
  const unpacked = unpackedRows.flatMap((rows) =>
    partCounts
      .filter((parts) => parts * rows <= mostAccumulators)
      .map((unpackedParts) => ({ rows: rows * atom.tile.m, unpackedParts, streamedPanels: null })),
  );
  return [...packed, ...unpacked].filter((tile) => tileFault(atom, tile) === null);
}

/** The least of tiles, their single rows in all ways. */
export function singleRowTiles(atom: DotAtom): readonly TileShape[] {
  const rows = atom.tile.m;
  return [null, ...panelCounts].map((streamedPanels) => ({ rows, unpackedParts: null, streamedPanels }));
}
