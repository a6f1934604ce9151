/** The comparison as Markdown. */
import { markdown } from "../markdown.ts";
import { pairsOf, rates, ratioOf, type Rate, type Row } from "./results.ts";

export interface Occasion {
  readonly shape: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** ISO 8601. */
  readonly date: string;
  readonly prompt: number;
  readonly decode: number;
  /** 0 where nothing was decoded at depth. */
  readonly depth: number;
  readonly rounds: number;
  /** Encoding of lfmc's cache. */
  readonly kv: string;
  /** Bytes of weights, by kind of model. */
  readonly weightBytes: Readonly<Record<string, number>>;
  /** What was measured, by the contender's title. */
  readonly versions: Readonly<Record<string, string>>;
  readonly repetitions: number;
  /** Those that began while others used the machine. */
  readonly disturbed: number;
  /** Who is missing and why, a line each. */
  readonly missing: readonly string[];
}

/** The whole report. */
export function report(occasion: Occasion, rows: readonly Row[]): string {
  const { shape, cpu, cores, memoryBytes, date, weightBytes, versions, missing } = occasion;
  const parts = [
    `# lfmc and its peers: ${shape}, q4_0, random weights`,
    `${cpu}, ${cores} cores, ${(memoryBytes / 2 ** 30).toFixed(0)} GiB; ${date.slice(0, 10)}. ${method(occasion)}`,
    `Bytes of weights: ${Object.entries(weightBytes)
      .map(([kind, bytes]) => `${kind} ${bytes.toLocaleString("en")}`)
      .join(", ")}.`,
    figuresTable(occasion, rows),
    "Ratios, lfmc / peer:",
    ratioTable(occasion, rows),
    "What was measured:",
    list(Object.entries(versions).map(([title, version]) => `${title}: ${version}`)),
    ...(missing.length === 0 ? [] : ["Not measured:", list(missing)]),
  ];
  return `${parts.join("\n\n")}\n`;
}

function method({ decode, depth, rounds, kv, repetitions, disturbed }: Occasion): string {
  const deep = depth === 0 ? "" : `, at depth ${depth} of three samples in a row`;
  return [
    `Medians; ${rounds === 1 ? "one round" : `${rounds} rounds`} in which the contenders alternate (n: how many each took part in), each time in a process of its own, once the machine is idle (${disturbed} of ${repetitions} repetitions began while it was not); decoding is of ${decode} tokens${deep}.`,
    `Cold first token: from the start of the process, in Chromium of the page, to the first token after a prompt of 16, the files in the system's cache.`,
    `Peak memory: the largest resident set of any of a contender's processes at depth 0. lfmc's KV cache is ${kv}, llama.cpp's f16.`,
  ].join(" ");
}

/** What the rates are called. */
export function rateTitles({ prompt, decode, depth }: Pick<Occasion, "prompt" | "decode" | "depth">): Readonly<Record<Rate, string>> {
  return { prefill: `prefill ${prompt}`, decode: `decode ${decode}`, deepDecode: `decode ${decode} at depth ${depth}` };
}

function figuresTable(occasion: Occasion, rows: readonly Row[]): string {
  const shown = shownRates(occasion);
  const titles = shown.map((rate) => `${rateTitles(occasion)[rate]}, tok/s`);
  const cells = rows.map((row) => [
    row.contender.title,
    `${row.threads}`,
    `${row.repetitions}`,
    ...shown.map((rate) => rateText(row[rate])),
    row.firstTokenSeconds?.toFixed(2) ?? "",
    row.peakBytes === null ? "" : (row.peakBytes / 1e6).toFixed(0),
  ]);
  return markdown(["contender", "threads", "n", ...titles, "cold first token, s", "peak memory, MB"], cells);
}

function ratioTable(occasion: Occasion, rows: readonly Row[]): string {
  const shown = shownRates(occasion);
  const cells = pairsOf(rows).map((pair) => [
    `${pair.ours.contender.title} / ${pair.peer.contender.title}`,
    `${pair.ours.threads}`,
    ...shown.map((rate) => ratioOf(pair, rate)?.toFixed(2) ?? ""),
  ]);
  return markdown(["lfmc / peer", "threads", ...shown.map((rate) => rateTitles(occasion)[rate])], cells);
}

function shownRates({ depth }: Occasion): readonly Rate[] {
  return rates.filter((rate) => rate !== "deepDecode" || depth > 0);
}

function list(lines: readonly string[]): string {
  return lines.map((line) => `- ${line}`).join("\n");
}

/** Tokens a second, to three digits or so. */
export function rateText(rate: number | null): string {
  return rate === null ? "" : rate.toFixed(rate < 100 ? 1 : 0);
}
