/** The rates as bars: a panel for each rate and number of threads, lfmc's bars in colour. Plain SVG, with no script and no style sheet. */
import { rateText } from "./report.ts";
import { rates, type Rate, type Row } from "./results.ts";

const [margin, nameWidth, barWidth, valueWidth, barHeight, gap, titleHeight] = [16, 330, 260, 60, 14, 6, 30] as const;
const panelWidth = nameWidth + barWidth + valueWidth;
const colors = { ours: "#0f766e", peer: "#a8a29e" } as const;

/** The chart of `rows`; `titles` name the rates. */
export function chart(rows: readonly Row[], titles: Readonly<Record<Rate, string>>): string {
  const counts = [...new Set(rows.map(({ threads }) => threads))];
  const panels = counts.flatMap((threads) => {
    const group = rows.filter((row) => row.threads === threads);
    return rates.flatMap((rate) => panel(`${titles[rate]}, tokens/s, ${threads === 1 ? "1 thread" : `${threads} threads`}`, rate, group));
  });
  const tops = panels.map((_, i) => margin + panels.slice(0, i).reduce((sum, { height }) => sum + height, 0));
  const height = margin + panels.reduce((sum, each) => sum + each.height, 0);
  const width = panelWidth + 2 * margin;
  const body = panels.map(({ shapes }, i) => `<g transform="translate(${margin} ${tops[i] ?? 0})">${shapes}</g>`).join("\n");
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    body,
    "</svg>\n",
  ].join("\n");
}

interface Panel {
  readonly height: number;
  readonly shapes: string;
}

/** The bars of one rate, none where nobody was measured. */
function panel(title: string, rate: Rate, rows: readonly Row[]): readonly Panel[] {
  const bars = rows.flatMap(({ contender, [rate]: value }) => (value === null ? [] : [{ contender, value }]));
  if (bars.length === 0) return [];
  const most = Math.max(...bars.map(({ value }) => value));
  const shapes = bars.map(({ contender, value }, i) => {
    const top = titleHeight + i * (barHeight + gap);
    const [baseline, length] = [top + barHeight - 3, (barWidth * value) / most];
    const fill = contender.isOurs ? colors.ours : colors.peer;
    return [
      `<text x="${nameWidth - 8}" y="${baseline}" text-anchor="end">${escaped(contender.title)}</text>`,
      `<rect x="${nameWidth}" y="${top}" width="${length.toFixed(1)}" height="${barHeight}" fill="${fill}"/>`,
      `<text x="${(nameWidth + length + 6).toFixed(1)}" y="${baseline}">${rateText(value)}</text>`,
    ].join("");
  });
  const heading = `<text x="0" y="16" font-weight="bold">${escaped(title)}</text>`;
  return [{ height: titleHeight + bars.length * (barHeight + gap) + gap, shapes: heading + shapes.join("") }];
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
