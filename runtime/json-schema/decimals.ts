/** Decimal numbers between bounds, digit by digit: a digit may come where a number within the bounds still begins so. */
import { type Item, empty, never, optional } from "./items.ts";

/** Numbers have at most so many digits: more do not survive binary64. */
const mostDigits = 15;
const largest = 10 ** mostDigits - 1;
const mostPlaces = 6;

export interface Bounds {
  readonly minimum: number | undefined;
  readonly maximum: number | undefined;
  readonly exclusiveMinimum: number | undefined;
  readonly exclusiveMaximum: number | undefined;
}

/** What was written of a number. */
interface Prefix {
  readonly isNegative: boolean;
  /** All digits as an integer; null before the first. */
  readonly digits: number | null;
  /** Digits after the point; null before the point. */
  readonly places: number | null;
}

/** Decimals within the bounds, with at most `places` digits after the point (as many as make sense where null), and no exponent. */
export function decimal(bounds: Bounds, places: number | null): Item {
  const given = [bounds.minimum, bounds.maximum, bounds.exclusiveMinimum, bounds.exclusiveMaximum].filter((bound) => bound !== undefined);
  const room = Math.min(...given.map((bound) => mostDigits - 2 - Math.ceil(Math.log10(Math.abs(bound) + 1))));
  const used = places ?? Math.max(0, Math.min(mostPlaces, room));
  const low = Math.max(-largest, lowest(bounds.minimum, used, false), lowest(bounds.exclusiveMinimum, used, true));
  const high = Math.min(largest, -lowest(negated(bounds.maximum), used, false), -lowest(negated(bounds.exclusiveMaximum), used, true));
  if (low > high) return never;
  return new Decimals(low, high, used).item({ isNegative: false, digits: null, places: null });
}

function negated(bound: number | undefined): number | undefined {
  return bound === undefined ? undefined : -bound;
}

/** The least integer n with n / 10^places at least `bound`, or above it; exact, by the bound's shortest decimal digits. */
function lowest(bound: number | undefined, places: number, isExclusive: boolean): number {
  if (bound === undefined) return -Infinity;
  const [mantissa = "0", exponent = "0"] = bound.toExponential().split("e");
  const [whole = "0", fraction = ""] = mantissa.split(".");
  const shift = Number(exponent) - fraction.length + places;
  const digits = BigInt(whole + fraction);
  if (shift >= 0) return Number(digits * 10n ** BigInt(shift)) + (isExclusive ? 1 : 0);
  // The last digit is not 0, so the bound lies between two integers. BigInt division rounds to zero: up, for negative bounds.
  return Number(digits / 10n ** BigInt(-shift)) + (digits < 0n ? 0 : 1);
}

class Decimals {
  readonly #low: number;
  readonly #high: number;
  readonly #places: number;
  readonly #known = new Map<string, Item>();

  /** Bounds in units of the last place. */
  constructor(low: number, high: number, places: number) {
    this.#low = low;
    this.#high = high;
    this.#places = places;
  }

  /** What may come after `prefix`. */
  item(prefix: Prefix): Item {
    const key = `${prefix.isNegative},${prefix.digits},${prefix.places}`;
    const found = this.#known.get(key);
    if (found) return found;
    const isFull = prefix.places === this.#places && this.#places > 0;
    const more: Item = isFull ? empty : { kind: "terminal", step: (byte) => this.#step(prefix, byte) };
    const item = this.#isComplete(prefix) && !isFull ? optional(more) : more;
    this.#known.set(key, item);
    return item;
  }

  #step({ isNegative, digits, places }: Prefix, byte: number): Item | null {
    const next = ((): Prefix | null => {
      const character = String.fromCharCode(byte);
      if (character === "-") return digits === null && !isNegative ? { isNegative: true, digits, places } : null;
      if (character === ".") return digits !== null && places === null && this.#places > 0 ? { isNegative, digits, places: 0 } : null;
      if (!/\d/.test(character) || (digits === 0 && places === null)) return null;
      return { isNegative, digits: (digits ?? 0) * 10 + Number(character), places: places === null ? null : places + 1 };
    })();
    return next !== null && this.#isOpen(next) ? this.item(next) : null;
  }

  /** Whether a number within the bounds begins so. */
  #isOpen(prefix: Prefix): boolean {
    const { isNegative, digits, places } = prefix;
    if (digits === null) return this.#low <= Math.min(this.#high, -1);
    // No integer is written "-0".
    if (isNegative && digits === 0 && this.#places === 0) return false;
    const unit = 10 ** (this.#places - (places ?? 0));
    if (places !== null || digits === 0) return this.#meets(prefix, digits * unit, digits * unit + unit - 1);
    for (let span = 1; digits * span * unit <= largest; span *= 10)
      if (this.#meets(prefix, digits * span * unit, (digits * span + span) * unit - 1)) return true;
    return false;
  }

  #meets({ isNegative }: Prefix, from: number, to: number): boolean {
    return isNegative ? -to <= this.#high && -from >= this.#low : from <= this.#high && to >= this.#low;
  }

  #isComplete(prefix: Prefix): boolean {
    const { digits, places } = prefix;
    if (digits === null || places === 0) return false;
    const value = digits * 10 ** (this.#places - (places ?? 0));
    return this.#meets(prefix, value, value);
  }
}
