/**
 * The arithmetic that a unit must have, as a kernel: what contraction, reassociation or flushing of subnormal numbers would change, in vectors
 * and scalars. Its result is known to the compiler from the kernel interpreter; a library compares before it runs anything else.
 */
import { recordKernel } from "../../compiler/kernel/builder.ts";
import { interpretKernel } from "../../compiler/kernel/interpret.ts";
import { f32, type Kernel, type Value } from "../../compiler/kernel/ir.ts";
import { chunkBytes, f32Bytes, f32x16, laneCount } from "../../compiler/kernel/library/lanes.ts";

/** Operands, the same in all lanes: each triple makes a different fault visible. */
const triples: readonly (readonly [number, number, number])[] = [
  // x * y + z is 0 in two roundings, 2^-24 in one.
  [1 + 2 ** -12, 1 + 2 ** -12, -(1 + 2 ** -11)],
  // (x + y) + z is 0 in this order, 1 in another.
  [2 ** 24, 1, -(2 ** 24)],
  // x * y is subnormal.
  [2 ** -126, 0.5, 0],
  // x / y is no multiple of 1 / y.
  [10, 3, 1],
];

/** Results of one triple. */
const resultBytes = 3 * (laneCount + 1) * f32Bytes;

/** Reads triples of f32 and writes x * y + z, (x + y) + z and x / y of each, in vectors of 16 and as scalars. */
export const selfTest: Kernel = recordKernel("self_test_arithmetic", "operations that careless compilation would change", (b) => {
  const operands = b.pointer("operands", "read", `[${triples.length}, 3, 16] f32: the same in all lanes`);
  const results = b.pointer("results", "write", `[${triples.length}, 3, 17] f32: 16 lanes, then a scalar`);
  b.for("triple", 0, triples.length, 1, (triple) => {
    const from = b.advance(operands, triple, 3 * chunkBytes);
    const to = b.advance(results, triple, resultBytes);
    for (const type of [f32x16, f32]) {
      const read = (i: number): Value => b.load(type, from, 0, i * chunkBytes);
      const [x, y, z] = [read(0), read(1), read(2)];
      [b.add(b.mul(x, y), z), b.add(b.add(x, y), z), b.div(x, y)].forEach((value, i) => {
        b.store(value, to, 0, (i * (laneCount + 1) + (type === f32 ? laneCount : 0)) * f32Bytes);
      });
    }
  });
});

/** The operands' bits and the right results' bits, as u32. */
export function selfTestWords(): { readonly operands: Uint32Array; readonly results: Uint32Array } {
  const operands = Float32Array.from(triples.flat().flatMap((operand) => new Array<number>(laneCount).fill(operand)));
  const results = new Uint8Array(triples.length * resultBytes);
  interpretKernel(selfTest, [{ bytes: new Uint8Array(operands.buffer) }, { bytes: results }]);
  return { operands: new Uint32Array(operands.buffer), results: new Uint32Array(results.buffer) };
}
