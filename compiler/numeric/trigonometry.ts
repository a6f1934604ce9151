/**
 * Sine, cosine, exponential and logarithm in binary64 from the four operations alone: engines' Math.sin and Math.pow differ in
 * the last bits, and the RoPE tables must be the same file everywhere. Absolute errors stay below 1e-14 in the ranges used.
 */

/** pi/2 in three parts; the first two have 33 bits, so that multiples up to 2^20 are exact (fdlibm's split). */
const halfPi = [1.57079632673412561417, 6.0771005063039659766e-11, 2.02226624879595063154e-21] as const;
const ln2 = 0.69314718055994530942;
const taylorTerms = 12;

/** Sine and cosine of an angle in radians, |angle| < 1e6. */
export function sinCos(angle: number): { sin: number; cos: number } {
  const quadrant = Math.round(angle / halfPi[0]);
  const rest = angle - quadrant * halfPi[0] - quadrant * halfPi[1] - quadrant * halfPi[2];
  const sin = alternatingSeries(rest, 1);
  const cos = alternatingSeries(1, 0, rest);
  switch (((quadrant % 4) + 4) % 4) {
    case 0:
      return { sin, cos };
    case 1:
      return { sin: cos, cos: -sin };
    case 2:
      return { sin: -sin, cos: -cos };
    default:
      return { sin: -cos, cos: sin };
  }
}

/** first - first x^2/((n+1)(n+2)) + …: the Taylor series of sine (n = 1, first = x) or cosine (n = 0, first = 1). */
function alternatingSeries(first: number, power: number, x = first): number {
  let term = first;
  let sum = first;
  for (let i = 0, n = power; i < taylorTerms; i++, n += 2) {
    term *= -(x * x) / ((n + 1) * (n + 2));
    sum += term;
  }
  return sum;
}

/** base^exponent for a positive base. */
export function power(base: number, exponent: number): number {
  return exponential(exponent * logarithm(base));
}

/** e^x for |x| < 700. */
function exponential(x: number): number {
  const n = Math.round(x / ln2);
  const rest = x - n * ln2;
  let term = 1;
  let sum = 1;
  for (let i = 1; i < 24; i++) {
    term *= rest / i;
    sum += term;
  }
  return sum * 2 ** n;
}

/** Natural logarithm: x = m 2^n with m in [0.75, 1.5), ln m = 2 artanh((m-1)/(m+1)). */
function logarithm(x: number): number {
  let n = 0;
  let m = x;
  for (; m >= 1.5; n++) m /= 2;
  for (; m < 0.75; n--) m *= 2;
  const z = (m - 1) / (m + 1);
  let power = z;
  let sum = 0;
  for (let i = 1; i < 60; i += 2) {
    sum += power / i;
    power *= z * z;
  }
  return 2 * sum + n * ln2;
}
