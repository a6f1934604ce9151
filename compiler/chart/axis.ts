/** An axis: the values that it spans, its ticks, and where each value lies. */
import { scaleLinear, scaleLog } from "d3-scale";
import type { Axis, Scale } from "./chart.ts";
import { textWidth } from "./svg.ts";

/** What an axis spans, before its place is known. */
export interface Measured {
  readonly scale: Scale;
  readonly from: number;
  readonly to: number;
  readonly ticks: readonly { readonly value: number; readonly label: string }[];
  /** Whether a value has a place on it. */
  readonly holds: (value: number) => boolean;
}

export interface Placed {
  /** The place of a value that the axis holds, in px. */
  readonly at: (value: number) => number;
  /** From the axis' beginning; labels that would overlap are not shown. */
  readonly ticks: readonly { readonly at: number; readonly label: string; readonly isShown: boolean }[];
}

const tickCount = 6;
const mostLogTicks = 10;
/** Numbers beyond it have no place, and those nearer to 0 than its inverse lie at 0: what is reckoned with them stays a number. */
const largest = 1e100;
/** The least part of its values that an axis spans: ticks nearer to each other would have the same labels. */
const leastSpan = 1e-9;

/** The axis that shows all of `values` that it can hold. */
export function measureAxis(axis: Axis, values: readonly number[]): Measured {
  const isLog = axis.scale === "log";
  const holds = (value: number): boolean => Math.abs(value) <= largest && (!isLog || value >= 1 / largest);
  const ends = [axis.from, axis.to].flatMap((end) => (end === undefined ? [] : [end]));
  const held = [...ends, ...values].filter(holds);
  const shown = held.length > 0 ? held.map((value) => (Math.abs(value) < 1 / largest ? 0 : value)) : [1];
  const { from, to, round } = isLog ? ladder(shown) : steps(shown);
  const format = axis.format ?? ((value) => String(Number(value.toPrecision(6))));
  const ticks = axis.ticks?.filter((value) => value >= from && value <= to) ?? round;
  return { scale: axis.scale, from, to, ticks: ticks.map((value) => ({ value, label: format(value) })), holds };
}

/** The axis from `start` to `end`, in px; upright where it ends above its beginning. */
export function placeAxis({ scale, from, to, ticks }: Measured, start: number, end: number): Placed {
  const at = (scale === "log" ? scaleLog() : scaleLinear()).domain([from, to]).range([start, end]);
  const isUpright = end < start;
  const placed = ticks.map(({ value, label }) => ({ at: at(value), label, room: isUpright ? 14 : textWidth(label) + 8 }));
  const shown = placed.reduce<readonly (typeof placed)[number][]>((kept, tick) => {
    const last = kept.at(-1);
    return last && Math.abs(tick.at - last.at) < (tick.room + last.room) / 2 ? kept : [...kept, tick];
  }, []);
  return { at, ticks: placed.map((tick) => ({ at: tick.at, label: tick.label, isShown: shown.includes(tick) })) };
}

/** A stretch between round numbers, and some of those in it. */
interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly round: readonly number[];
}

/** Round numbers at equal distances around `values`. */
function steps(values: readonly number[]): Stretch {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const size = Math.max(Math.abs(low), Math.abs(high));
  const isWide = high - low > leastSpan * size;
  const around = size === 0 ? 1 : size / 2;
  const scale = scaleLinear()
    .domain(isWide ? [low, high] : [low - around, high + around])
    .nice(tickCount);
  const [from = low, to = high] = scale.domain();
  return { from, to, round: scale.ticks(tickCount) };
}

/** Round numbers at equal ratios around `values`, which are above 0: powers of two, or 1, 2 and 5 times powers of ten. */
function ladder(values: readonly number[]): Stretch {
  const base = values.every((value) => Number.isInteger(Math.log2(value))) ? 2 : 10;
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const [low, high] = most > least * (1 + leastSpan) ? [least, most] : [least / base, most * base];
  const first = Math.floor(Math.log(low) / Math.log(base)) - 1;
  const last = Math.ceil(Math.log(high) / Math.log(base)) + 1;
  const powers = Array.from({ length: last - first + 1 }, (_, i) => base ** (first + i));
  const rungs = powers.flatMap((power) => (base === 2 ? [1] : [1, 2, 5]).map((factor) => factor * power));
  const [from = low, to = high] = [rungs.findLast((rung) => rung <= low), rungs.find((rung) => rung >= high)];
  const within = rungs.filter((rung) => rung >= from && rung <= to);
  return { from, to, round: within.length <= mostLogTicks ? within : thinned(within.filter((rung) => powers.includes(rung))) };
}

function thinned(rungs: readonly number[]): readonly number[] {
  const every = Math.ceil(rungs.length / mostLogTicks);
  return rungs.filter((_, i) => i % every === 0);
}
