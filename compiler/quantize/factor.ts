/**
 * The triangular form of the loss that rounding is to keep small. With H = R^T R, R lower triangular, the loss e H e^T of one row's error e
 * is the sum over k of (R[k,k] * (e[k] + sum over j < k of C[k,j] e[j]))^2, C[k,j] = R[k,j] / R[k,k]. So a weight that is rounded after
 * others takes up their error: it aims at w[k] + sum of C[k,j] e[j]. That is GPTQ (Frantar et al. 2022) without the inverse.
 */
import type { QuadraticForm } from "./descend.ts";
import { addProducts, triangleLength, triangleRow, vectorsAtOnce } from "./products.ts";

export interface Factor {
  readonly width: number;
  /** What was factored; null where every weight stands alone. */
  readonly form: QuadraticForm | null;
  /** C, strictly lower, in the rows of a lower triangle whose diagonal is 1. */
  readonly couplings: Float64Array;
  /** R[k,k]^2: what the square of a weight's remaining error costs. */
  readonly costs: Float64Array;
}

/**
 * Factors a form, which its ridge must make positive definite. Only
 * + - * / and square roots in binary64, in one order: the same bits everywhere.
 */
export function factorOf(form: QuadraticForm): Factor {
  const { width, triangle, ridge } = form;
  const r = new Float64Array(triangleLength(width));
  r.set(triangle);
  for (let k = 0; k < width; k++) r[triangleRow(k) + k] = (r[triangleRow(k) + k] ?? 0) + ridge;
  const vectors = new Float64Array(width * vectorsAtOnce);
  for (let end = width; end > 0;) {
    const start = Math.max(0, end - vectorsAtOnce);
    factorRows(r, start, end);
    // What the rows above still lack of H: less the products of these.
    vectors.fill(0);
    for (let k = start; k < end; k++) {
      for (let j = 0; j < start; j++) vectors[j * vectorsAtOnce + k - start] = r[triangleRow(k) + j] ?? 0;
    }
    addProducts(r, start, vectors, -1);
    end = start;
  }
  return { width, form, ...couplingsOf(r, width) };
}

/** Rows end-1 … start of R, of which the rows below are done. */
function factorRows(r: Float64Array, start: number, end: number): void {
  for (let k = end - 1; k >= start; k--) {
    const row = triangleRow(k);
    const pivot = Math.sqrt(r[row + k] ?? 0);
    for (let j = 0; j < k; j++) r[row + j] = (r[row + j] ?? 0) / pivot;
    r[row + k] = pivot;
    for (let above = start; above < k; above++) {
      const factor = r[row + above] ?? 0;
      const other = triangleRow(above);
      for (let j = 0; j <= above; j++) r[other + j] = (r[other + j] ?? 0) - factor * (r[row + j] ?? 0);
    }
  }
}

/** Scales each row of R by its diagonal, in place. */
function couplingsOf(r: Float64Array, width: number): Pick<Factor, "couplings" | "costs"> {
  const costs = new Float64Array(width);
  for (let k = 0; k < width; k++) {
    const row = triangleRow(k);
    const pivot = r[row + k] ?? 0;
    costs[k] = pivot * pivot;
    for (let j = 0; j <= k; j++) r[row + j] = (r[row + j] ?? 0) / pivot;
  }
  return { couplings: r, costs };
}

/** Every weight alone, every error alike: what is taken where nothing is known of the inputs. */
export function identityFactor(width: number): Factor {
  return { width, form: null, couplings: new Float64Array(triangleLength(width)), costs: new Float64Array(width).fill(1) };
}
