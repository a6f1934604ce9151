/** How far a batch has come, as one line: what is done, how fast it went lately, and how long the rest will take. */

/** Rates are over so many milliseconds. */
const windowMilliseconds = 30_000;

interface Sample {
  readonly at: number;
  readonly lines: number;
  readonly tokens: number;
}

export class BatchProgress {
  readonly #total: number;
  readonly #now: () => number;
  /** At least one, the oldest first; all but that are of the last `windowMilliseconds`. */
  #samples: readonly Sample[];

  /** `done` of `total` lines were there before. `now` is in milliseconds. */
  constructor(total: number, done: number, now: () => number = () => performance.now()) {
    this.#total = total;
    this.#now = now;
    this.#samples = [{ at: now(), lines: done, tokens: 0 }];
  }

  /** The line, where now `lines` are done, and `tokens` were generated since the beginning. */
  line(lines: number, tokens: number): string {
    const at = this.#now();
    const samples = [...this.#samples, { at, lines, tokens }];
    const firstRecent = samples.findIndex((sample) => sample.at >= at - windowMilliseconds);
    this.#samples = samples.slice(Math.max(0, firstRecent - 1));
    const [before] = this.#samples;
    const seconds = before ? (at - before.at) / 1000 : 0;
    const done = `${grouped(lines)} of ${grouped(this.#total)} lines`;
    if (!before || seconds <= 0) return done;
    const perSecond = (lines - before.lines) / seconds;
    const left = perSecond > 0 ? ` · ${clock((this.#total - lines) / perSecond)} left` : "";
    return `${done} · ${rate((tokens - before.tokens) / seconds)} tok/s · ${rate(perSecond)} lines/s${left}`;
  }
}

/** 1,234,567. */
export function grouped(count: number): string {
  return count.toLocaleString("en-US");
}

function rate(perSecond: number): string {
  return perSecond >= 10 ? grouped(Math.round(perSecond)) : perSecond.toFixed(1);
}

/** 0:18, 12:05, 1:02:03, 3 d 4:05:06. */
function clock(seconds: number): string {
  const whole = Math.ceil(seconds);
  const [days, hours, minutes] = [86400, 3600, 60].map((unit, i, units) =>
    Math.floor((i === 0 ? whole : whole % (units[i - 1] ?? 1)) / unit),
  );
  const two = (value: number): string => String(value).padStart(2, "0");
  const short = hours === 0 && days === 0 ? `${minutes}:${two(whole % 60)}` : `${hours}:${two(minutes ?? 0)}:${two(whole % 60)}`;
  return days ? `${days} d ${short}` : short;
}
