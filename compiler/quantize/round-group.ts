/**
 * The best group that a search finds: for some scales each weight is rounded in turn, aiming at what makes up for the errors before it
 * (factor.ts), and the scale of the least loss wins. A winner is refined: least squares give the best scale of its numbers.
 */
import { groupSize } from "../numeric/quantize.ts";
import { storedScale, type GroupFormat } from "../numeric/weight-groups.ts";

/** Candidates of a scale, as shares of the one under which the group's extreme value just fits. The first is near that of plain rounding. */
const shares: readonly number[] = [1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 1.05, 1.1];
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
  /** C and R[k,k]^2 of the group's columns: [groupSize, groupSize], [groupSize]. */
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
    const { weights, aims, couplings } = this;
    for (let k = 0; k < this.#length; k++) {
      let aim = aims[k] ?? 0;
      for (let j = 0; j < k; j++) aim += (couplings[k * groupSize + j] ?? 0) * ((weights[j] ?? 0) - (this.#free[j] ?? 0));
      this.#free[k] = aim;
    }
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
    const { weights, aims, couplings, costs } = this;
    const [errors, u, length] = [this.#triedErrors, this.#triedU, this.#length];
    const [{ offset }, most] = [this.#format, this.#most];
    const d = storedScale(scale, elevenBits);
    const m = minimum === 0 ? 0 : storedScale(minimum, elevenBits);
    const inverse = 1 / d;
    let loss = 0;
    for (let k = 0; k < length; k++) {
      let aim = aims[k] ?? 0;
      const row = k * groupSize;
      for (let j = 0; j < k; j++) aim += (couplings[row + j] ?? 0) * (errors[j] ?? 0);
      const level = Math.max(0, Math.min(most, Math.floor((aim - m) * inverse + offset + 0.5)));
      const value = d * (level - offset) + m;
      loss += (costs[k] ?? 0) * (aim - value) * (aim - value);
      if (loss >= this.#loss) return false;
      u[k] = level;
      errors[k] = (weights[k] ?? 0) - value;
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
    const { weights, aims, couplings, costs, u } = this;
    const { offset, hasMinimums } = this.#format;
    // The remaining error of weight k is y - scale * x - minimum * one: a sum over the group's weights up to k.
    let [xx, xy, x1, y1, ones] = [0, 0, 0, 0, 0];
    for (let k = 0; k < this.#length; k++) {
      let [x, y, one] = [(u[k] ?? 0) - offset, aims[k] ?? 0, 1];
      for (let j = 0; j < k; j++) {
        const coupling = couplings[k * groupSize + j] ?? 0;
        x += coupling * ((u[j] ?? 0) - offset);
        y += coupling * (weights[j] ?? 0);
        one += coupling;
      }
      const cost = costs[k] ?? 0;
      xx += cost * x * x;
      xy += cost * x * y;
      x1 += cost * x * one;
      y1 += cost * y * one;
      ones += cost * one * one;
    }
    if (!hasMinimums) return xx > 0 && this.#try(xy / xx, 0);
    const determinant = xx * ones - x1 * x1;
    return determinant > 0 && this.#try((xy * ones - y1 * x1) / determinant, (y1 * xx - xy * x1) / determinant);
  }
}
