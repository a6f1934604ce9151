/**
 * Sums of outer products, the one heavy loop of calibration and of the factorisation: a symmetric matrix kept as its lower triangle, row
 * after row, to which a few vectors' products are added at once.
 */

/** Vectors that are added at once: long enough that the triangle's traffic does not count, short enough that they stay in the cache. */
export const vectorsAtOnce = 32;

/** Elements of the lower triangle of a matrix of `width` rows, the diagonal included. */
export function triangleLength(width: number): number {
  return (width * (width + 1)) / 2;
}

/** Where row `row` of a lower triangle starts. */
export function triangleRow(row: number): number {
  return (row * (row + 1)) / 2;
}

/**
 * triangle[i, j] += sign * sum over v of vectors[i, v] * vectors[j, v], for the first `width` rows. `vectors` is [width, vectorsAtOnce]:
 * one vector a column; v rises, in binary64.
 */
export function addProducts(triangle: Float32Array | Float64Array, width: number, vectors: Float64Array, sign: 1 | -1): void {
  for (let i = 0; i < width; i++) {
    const row = triangleRow(i);
    const first = i * vectorsAtOnce;
    let j = 0;
    // Four elements at once: one chain of additions leaves the machine idle.
    for (; j + 3 <= i; j += 4) {
      const at = j * vectorsAtOnce;
      let a = 0;
      let b = 0;
      let c = 0;
      let d = 0;
      for (let v = 0; v < vectorsAtOnce; v++) {
        const x = vectors[first + v] ?? 0;
        a += x * (vectors[at + v] ?? 0);
        b += x * (vectors[at + vectorsAtOnce + v] ?? 0);
        c += x * (vectors[at + 2 * vectorsAtOnce + v] ?? 0);
        d += x * (vectors[at + 3 * vectorsAtOnce + v] ?? 0);
      }
      triangle[row + j] = (triangle[row + j] ?? 0) + sign * a;
      triangle[row + j + 1] = (triangle[row + j + 1] ?? 0) + sign * b;
      triangle[row + j + 2] = (triangle[row + j + 2] ?? 0) + sign * c;
      triangle[row + j + 3] = (triangle[row + j + 3] ?? 0) + sign * d;
    }
    for (; j <= i; j++) {
      let sum = 0;
      for (let v = 0; v < vectorsAtOnce; v++) sum += (vectors[first + v] ?? 0) * (vectors[j * vectorsAtOnce + v] ?? 0);
      triangle[row + j] = (triangle[row + j] ?? 0) + sign * sum;
    }
  }
}
