/**
 * A store whose groups are rounded with the least loss on calibration text: same tensors, same rows, better groups. What the file holds
 * in the format that is asked for stays as it is.
 */
import { required } from "../errors.ts";
import type { WeightStore } from "../import/weight-store.ts";
import { stackGroups, type Groups } from "../numeric/weight-groups.ts";
import type { CalibratedRows, Calibration } from "./calibrate.ts";
import type { QuadraticForm } from "./descend.ts";
import { factorOf, identityFactor, type Factor } from "./factor.ts";
import type { Moments } from "./moments.ts";
import { triangleLength } from "./products.ts";
import { roundRows } from "./round-rows.ts";

/** Share of the inputs' mean square that is added to each of them: few rows say little about rare inputs. */
const damping = 0.01;
/** The same for tables that are looked up. */
const lookupDamping = 0.15;

/** A decorated store; closing it closes `store`. Any range of rows gives the same groups, whatever was read before. */
export function calibratedStore(store: WeightStore, calibration: Calibration): WeightStore {
  const factors = new FactorCache(calibration);
  return {
    tensors: store.tensors,
    readRows: (tensor, start, count) => store.readRows(tensor, start, count),
    close: () => store.close(),
    async readGroups(tensor, format, start, count) {
      const info = required(store.tensors.get(tensor), `tensor ${tensor}`);
      if (info.keep === format.name) return await store.readGroups(tensor, format, start, count);
      const parts: Groups[] = [];
      for (const range of rangesOf(calibration, tensor, start, count)) {
        const rows = await store.readRows(tensor, range.start, range.count);
        parts.push(roundRows(format, rows, range.count, factors.get(tensor, range, rows.length / range.count)).groups);
      }
      return stackGroups(parts);
    },
  };
}

/** Rows that share moments, or that nothing is known of. */
export interface RowRange {
  readonly start: number;
  readonly count: number;
  readonly moments: CalibratedRows["moments"] | null;
}

/** Rows start…start+count-1 of a tensor, by the moments of their inputs. */
export function rangesOf({ rows }: Calibration, tensor: string, start: number, count: number): readonly RowRange[] {
  const ranges: RowRange[] = [];
  let at = start;
  const end = start + count;
  for (const known of (rows.get(tensor) ?? []).toSorted((a, b) => a.start - b.start)) {
    const [from, to] = [Math.max(at, known.start), Math.min(end, known.start + known.count)];
    if (from >= to) continue;
    if (at < from) ranges.push({ start: at, count: from - at, moments: null });
    ranges.push({ start: from, count: to - from, moments: known.moments });
    at = to;
  }
  return at < end ? [...ranges, { start: at, count: end - at, moments: null }] : ranges;
}

/** The factor used last: matrices are read one after the other, and a factor is as large as its moments. */
export class FactorCache {
  readonly #calibration: Calibration;
  #latest: { readonly moments: RowRange["moments"]; readonly lookup: Moments | undefined; readonly factor: Factor } | null = null;

  constructor(calibration: Calibration) {
    this.#calibration = calibration;
  }

  /** The factor of rows of a tensor, `width` weights each. */
  get(tensor: string, { moments }: RowRange, width: number): Factor {
    const lookup = this.#calibration.lookups.get(tensor);
    if (this.#latest?.moments === moments && this.#latest.lookup === lookup && this.#latest.factor.width === width)
      return this.#latest.factor;
    const form = lookup ? joinedForm([lookup, ...(moments ? [moments] : [])], width) : moments && dampedForm(moments);
    // Inputs that were all 0 leave every direction alike, as if nothing were known.
    const factor = form && form.ridge > 0 ? factorOf(form) : identityFactor(width);
    this.#latest = { moments, lookup, factor };
    return factor;
  }
}

function dampedForm(moments: Moments): QuadraticForm {
  return { width: moments.width, triangle: moments.triangle(), ridge: damping * moments.meanSquare() };
}

/** The sum of forms of the same mean diagonal. */
function joinedForm(parts: readonly Moments[], width: number): QuadraticForm {
  const triangle = new Float32Array(triangleLength(width));
  const known = parts.filter((part) => part.meanSquare() > 0);
  for (const part of known) {
    const share = 1 / part.meanSquare();
    part.triangle().forEach((sum, i) => {
      triangle[i] = (triangle[i] ?? 0) + share * sum;
    });
  }
  return { width, triangle, ridge: lookupDamping * known.length };
}
