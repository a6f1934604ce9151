/**
 * The sampler's random numbers: a counter-based generator. The number at (seed, position) depends on nothing else, so a sample
 * does not change with chunking, rewinding, batching or the machine.
 *
 * The words of the seed and the position are absorbed one after the other by a bijective 32-bit mixer with full avalanche
 * (`lowbias32`, Wellons, https://nullprogram.com/blog/2018/07/31/).
 */

/** A number of 24 random bits in [0, 1), exact in binary32. `seed`: an integer from 0 to 2^53 - 1; `position`: the place of the sampled token. */
export function uniform(seed: number, position: number): number {
  const low = seed >>> 0;
  const high = Math.floor(seed / 2 ** 32);
  const word = mix(mix(mix(0x9e3779b9 ^ low) ^ high) ^ position);
  return (mix(word) >>> 8) * 2 ** -24;
}

function mix(word: number): number {
  let x = word;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return x ^ (x >>> 16);
}
