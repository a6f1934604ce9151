/** The legend: a sample and the name of each series, in as many rows as the width asks for. */
import type { Series } from "./chart.ts";
import { drawSample, lookOf } from "./series.ts";
import { element, textAt, textWidth } from "./svg.ts";

/** Drawn entries from x = 0 on, around y = 12. */
export interface LegendRow {
  readonly width: number;
  readonly entries: readonly string[];
}

const sampleWidth = 28;
const gap = 8;

export function legendRows(series: readonly Series[], width: number): readonly LegendRow[] {
  return series.reduce<readonly LegendRow[]>((rows, each, i) => {
    if (each.name === "") return rows;
    const own = sampleWidth + gap + textWidth(each.name) + 2 * gap;
    const last = rows.at(-1);
    const row = last && last.width + own <= width ? last : { width: 0, entries: [] };
    const sample = drawSample(each, lookOf(each, i), sampleWidth);
    const entry = element("g", { transform: `translate(${row.width.toFixed(1)} 8)` }, sample + textAt(sampleWidth + gap, 4, each.name));
    return [...(row === last ? rows.slice(0, -1) : rows), { width: row.width + own, entries: [...row.entries, entry] }];
  }, []);
}
