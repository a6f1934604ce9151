/** Repetitions, and the medians over them that the report shows. */
import { median } from "../../../compiler/bench/timing.ts";
import type { Contender } from "./contenders/contender.ts";
import type { Figures, Work } from "./figures.ts";

export interface Result {
  readonly contender: Contender;
  readonly work: Work;
  readonly figures: Figures;
  /** Cores that others used when it began. */
  readonly busyCores: number;
}

/** The figures of a contender in so many threads, each null where it was not measured. */
export interface Row {
  readonly contender: Contender;
  readonly threads: number;
  /** Tokens a second, all three. */
  readonly prefill: number | null;
  readonly decode: number | null;
  readonly deepDecode: number | null;
  readonly firstTokenSeconds: number | null;
  /** The largest one at depth 0. */
  readonly peakBytes: number | null;
  /** Repetitions at depth 0. */
  readonly repetitions: number;
}

export const rates = ["prefill", "decode", "deepDecode"] as const;
export type Rate = (typeof rates)[number];

/** Medians of each contender and number of threads, in the order of their first results. */
export function rowsOf(results: readonly Result[]): readonly Row[] {
  const keyOf = ({ contender, work }: Result): string => `${work.threads} ${contender.name}`;
  return results
    .filter((result, i) => results.findIndex((other) => keyOf(other) === keyOf(result)) === i)
    .map((first) =>
      rowOf(
        first,
        results.filter((result) => keyOf(result) === keyOf(first)),
      ),
    );
}

function rowOf({ contender, work: { threads } }: Result, group: readonly Result[]): Row {
  const shallow = group.filter(({ work }) => work.depth === 0).map(({ figures }) => figures);
  const deep = group.filter(({ work }) => work.depth > 0).map(({ figures }) => figures);
  const present = (values: readonly (number | null)[]): readonly number[] => values.filter((value) => value !== null);
  return {
    contender,
    threads,
    prefill: medianOf(present(shallow.map(({ prefill }) => prefill))),
    decode: medianOf(shallow.flatMap(({ decode }) => decode)),
    deepDecode: medianOf(deep.flatMap(({ decode }) => decode)),
    firstTokenSeconds: medianOf(present(shallow.map(({ firstTokenSeconds }) => firstTokenSeconds))),
    repetitions: shallow.length,
    peakBytes: shallow.length === 0 ? null : Math.max(...shallow.map(({ peakBytes }) => peakBytes)),
  };
}

function medianOf(samples: readonly number[]): number | null {
  return samples.length === 0 ? null : median(samples);
}

/** One of lfmc's rows beside a peer's. */
export interface Pair {
  readonly ours: Row;
  readonly peer: Row;
}

/** Every contender of lfmc beside every peer in as many threads; those in a browser beside each other alone. */
export function pairsOf(rows: readonly Row[]): readonly Pair[] {
  const peers = rows.filter(({ contender }) => !contender.isOurs);
  return rows
    .filter(({ contender }) => contender.isOurs)
    .flatMap((ours) =>
      peers
        .filter((peer) => peer.threads === ours.threads && peer.contender.isInBrowser === ours.contender.isInBrowser)
        .map((peer) => ({ ours, peer })),
    );
}

/** How often as fast ours is; null where one of the two was not measured. */
export function ratioOf({ ours, peer }: Pair, rate: Rate): number | null {
  const [a, b] = [ours[rate], peer[rate]];
  return a === null || b === null ? null : a / b;
}
