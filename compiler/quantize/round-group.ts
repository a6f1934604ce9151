/**
 * The best group that a search finds: for some scales each weight is rounded in turn, aiming at what makes up for the errors before it
 * (factor.ts), and the scale of the least loss wins. A winner is refined: least squares give the best scale of its numbers.
 */
import { groupSize } from "../numeric/quantize.ts";
import { storedScale, type GroupFormat } from "../numeric/weight-groups.ts";

/** Candidates of a scale, as shares of the one under which the group's extreme value just fits. The likeliest first: others are given up sooner. */
const shares: readonly number[] = [0.9, 0.85, 0.95, 0.8, 1, 0.75, 1.05, 0.7, 1.1];
/** With 8 bits the extreme value had better fit. */
const fineShares: readonly number[] = [1];

/** Scales and minimums have 11 significant bits, however they are stored. */
const elevenBits = { format: "f32", exponent: 0 } as const;
/** Groups below this count as zero: as in plain rounding. */
const smallestWeight = 2 ** -120;
const refinements = 3;

/** Rounds the groups of one matrix, one after the other. Its arrays are those of the group at hand. */
export class GroupRounder {
  readonly #format: GroupFormat;
  readonly #most: number;
  readonly #shares: readonly number[];
  /** The weights themselves, and what they aim at, given the errors of the groups before: [groupSize]. */
  readonly weights = new Float64Array(groupSize);
  readonly aims = new Float64Array(groupSize);
  /** C of the group's columns, transposed: what an error does to the weights after it lies together; and R[k,k]^2. */
  readonly couplings = new Float64Array(groupSize * groupSize);
  readonly costs = new Float64Array(groupSize);
  /** The group as it was rounded, and its errors. */
  scale = 0;
  minimum = 0;
  readonly u = new Uint8Array(groupSize);
  readonly errors = new Float64Array(groupSize);
  readonly #free = new Float64Array(groupSize);
  readonly #triedU = new Uint8Array(groupSize);
  readonly #triedErrors = new Float64Array(groupSize);
  readonly #triedAims = new Float64Array(groupSize);
  #length = groupSize;
  #loss = Infinity;

  constructor(format: GroupFormat) {
    this.#format = format;
    this.#most = 2 ** format.bits - 1;
    this.#shares = format.bits === 8 ? fineShares : shares;
  }

  /** Rounds the first `length` weights; returns their loss. */
  round(length: number): number {
    this.#length = length;
    this.#loss = Infinity;
    this.scale = 0;
    this.minimum = 0;
    this.u.fill(this.#format.offset);
    this.#findFreeAims();
    let [low, high] = [0, 0];
    for (let k = 0; k < length; k++) {
      low = Math.min(low, this.#free[k] ?? 0);
      high = Math.max(high, this.#free[k] ?? 0);
    }
    if (high - low < smallestWeight) return this.#keepZero();
    if (this.#format.hasMinimums) this.#searchRange(low, high);
    else this.#searchScale(Math.abs(low) > high ? low : high);
    for (let i = 0; i < refinements && this.#refine(); i++);
    return this.#loss;
  }

  /** Without rounding, each weight would take up all errors before it. */
  #findFreeAims(): void {
    const free = this.#free;
    free.set(this.aims);
    for (let k = 0; k < this.#length; k++) this.#passOn(free, k, (this.weights[k] ?? 0) - (free[k] ?? 0));
  }

  /** The weights after `k` take up its error. */
  #passOn(aims: Float64Array, k: number, error: number): void {
    const { couplings } = this;
    const row = k * groupSize;
    for (let j = k + 1; j < this.#length; j++) aims[j] = (aims[j] ?? 0) + (couplings[row + j] ?? 0) * error;
  }

  #keepZero(): number {
    this.#loss = 0;
    for (let k = 0; k < this.#length; k++) this.errors[k] = this.weights[k] ?? 0;
    return 0;
  }

  /** The extreme value becomes the code's lower end, which reaches further, or its upper end. */
  #searchScale(extreme: number): void {
    const { offset } = this.#format;
    for (const share of this.#shares) {
      this.#try((share * extreme) / -offset, 0);
      this.#try((share * extreme) / (this.#most - offset), 0);
    }
  }

  #searchRange(low: number, high: number): void {
    for (const share of this.#shares) {
      const range = share * (high - low);
      this.#try(range / this.#most, share * low);
      this.#try(range / this.#most, high - range);
    }
  }

  /** Rounds under a scale and a minimum, and keeps the result if it is the best so far. */
  #try(scale: number, minimum: number): boolean {
    const { weights, costs } = this;
    const aims = this.#triedAims;
    const errors = this.#triedErrors;
    const u = this.#triedU;
    const length = this.#length;
    const most = this.#most;
    const { offset } = this.#format;
    const d = storedScale(scale, elevenBits);
    const m = minimum === 0 ? 0 : storedScale(minimum, elevenBits);
    const inverse = 1 / d;
    aims.set(this.aims);
    let loss = 0;
    for (let k = 0; k < length; k++) {
      const aim = aims[k] ?? 0;
      const level = Math.max(0, Math.min(most, Math.floor((aim - m) * inverse + offset + 0.5)));
      const value = d * (level - offset) + m;
      loss += (costs[k] ?? 0) * (aim - value) * (aim - value);
      if (loss >= this.#loss) return false;
      const error = (weights[k] ?? 0) - value;
      u[k] = level;
      errors[k] = error;
      this.#passOn(aims, k, error);
    }
    this.#loss = loss;
    this.scale = d;
    this.minimum = m;
    for (let k = 0; k < length; k++) {
      this.u[k] = u[k] ?? 0;
      this.errors[k] = errors[k] ?? 0;
    }
    return true;
  }

  /** Tries the scale, and minimum, that fit the best group's numbers by least squares. */
  #refine(): boolean {
    const { weights, aims, costs, u } = this;
    const { offset, hasMinimums } = this.#format;
    // The remaining error of weight k is y - scale * x - minimum * one: sums over the group's weights up to k.
    const [xs, ys, ones] = [this.#free, this.#triedAims, this.#triedErrors];
    for (let k = 0; k < this.#length; k++) {
      xs[k] = (u[k] ?? 0) - offset;
      ys[k] = aims[k] ?? 0;
      ones[k] = 1;
    }
    for (let k = 0; k < this.#length; k++) {
      this.#passOn(xs, k, (u[k] ?? 0) - offset);
      this.#passOn(ys, k, weights[k] ?? 0);
      if (hasMinimums) this.#passOn(ones, k, 1);
    }
    let xx = 0;
    let xy = 0;
    let x1 = 0;
    let y1 = 0;
    let oo = 0;
    for (let k = 0; k < this.#length; k++) {
      const cost = costs[k] ?? 0;
      const x = xs[k] ?? 0;
      const y = ys[k] ?? 0;
      const one = ones[k] ?? 0;
      xx += cost * x * x;
      xy += cost * x * y;
      x1 += cost * x * one;
      y1 += cost * y * one;
      oo += cost * one * one;
    }
    if (!hasMinimums) return xx > 0 && this.#try(xy / xx, 0);
    const determinant = xx * oo - x1 * x1;
    return determinant > 0 && this.#try((xy * oo - y1 * x1) / determinant, (y1 * xx - xy * x1) / determinant);
  }
}
