/** Second moments of what a matrix is multiplied by: H = sum of x x^T over calibration rows. What rounding errors cost is tr(dW H dW^T). */
import { addProducts, triangleLength, triangleRow, vectorsAtOnce } from "./products.ts";

/** H of inputs of `width` elements, as they come. */
export class Moments {
  readonly width: number;
  /** Lower triangle of H, row after row, of the rows that were flushed. */
  readonly #sums: Float32Array;
  /** Rows that wait: [width, vectorsAtOnce]. */
  readonly #waiting: Float64Array;
  #waitingCount = 0;
  #count = 0;

  constructor(width: number) {
    this.width = width;
    this.#sums = new Float32Array(triangleLength(width));
    this.#waiting = new Float64Array(width * vectorsAtOnce);
  }

  /** Rows that were added. */
  get count(): number {
    return this.#count;
  }

  /** Adds rows x, [rows, width]. */
  add(x: Float32Array): void {
    for (let start = 0; start < x.length; start += this.width) {
      for (let k = 0; k < this.width; k++) this.#waiting[k * vectorsAtOnce + this.#waitingCount] = x[start + k] ?? 0;
      this.#waitingCount += 1;
      this.#count += 1;
      if (this.#waitingCount === vectorsAtOnce) this.#flush();
    }
  }

  /** Lower triangle of H, row after row. */
  triangle(): Float32Array {
    if (this.#waitingCount > 0) this.#flush();
    return this.#sums;
  }

  /** The mean of H's diagonal. */
  meanSquare(): number {
    const triangle = this.triangle();
    let sum = 0;
    for (let k = 0; k < this.width; k++) sum += triangle[triangleRow(k) + k] ?? 0;
    return sum / this.width;
  }

  #flush(): void {
    addProducts(this.#sums, this.width, this.#waiting, 1);
    this.#waiting.fill(0);
    this.#waitingCount = 0;
  }
}
