/** The cache and attention over it as kernels, against the numeric contract's attention over the rounded rows: any group, window, tile and order of rows. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { contractAttend } from "../../compiler/graph/arithmetic/contract-attention.ts";
import { kvFormats, kvRoundings } from "../../compiler/graph/kv-cache.ts";
import { interpretKernel } from "../../compiler/kernel/interpret.ts";
import { scratchLayout } from "../../compiler/kernel/library/attention-scratch.ts";
import { attentionTile } from "../../compiler/kernel/library/attention-tiles.ts";
import { attention } from "../../compiler/kernel/library/attention.ts";
import { cacheBytes, kvAppend } from "../../compiler/kernel/library/kv-cache.ts";
import { rowBytes } from "../../compiler/kernel/library/rows.ts";
import { seededBy } from "../conformance/random.ts";

const context = 192;
const slots = 2;

interface Row {
  readonly slot: number;
  readonly position: number;
}

const runs = fc.array(fc.record({ slot: fc.nat(slots - 1), start: fc.nat(context - 1), length: fc.integer({ min: 1, max: 40 }) }), {
  minLength: 1,
  maxLength: 4,
});

const shapes = fc.record({
  format: fc.constantFrom(...kvFormats),
  group: fc.integer({ min: 1, max: 4 }),
  kvHeads: fc.integer({ min: 1, max: 2 }),
  headSize: fc.constantFrom(2, 8, 20, 34, 64),
  window: fc.constantFrom(null, 1, 17, 64, 100),
  vectors: fc.record({ bytes: fc.constantFrom(16, 32, 64), registers: fc.constantFrom(16, 32), prefetches: fc.boolean() }),
});

const usual = {
  format: "q8_0",
  group: 2,
  kvHeads: 1,
  headSize: 64,
  window: null,
  vectors: { bytes: 16, registers: 16, prefetches: false },
} as const;

/** Rows that look as if they followed each other: of two sessions, and on both sides of another row. */
const nearRuns = [
  { slot: 0, start: 62, length: 3 },
  { slot: 1, start: 65, length: 1 },
  { slot: 0, start: 66, length: 2 },
  { slot: 0, start: 70, length: 1 },
  { slot: 0, start: 69, length: 1 },
  { slot: 0, start: 72, length: 1 },
];

test("attention of kernels has the bits of the contract's", () => {
  fc.assert(
    fc.property(shapes, runs, ({ format, group, kvHeads, headSize, window, vectors }, pieces) => {
      const random = seededBy(`${format} ${group} ${headSize} ${pieces.length}`);
      const numbers = (count: number): Float32Array => Float32Array.from({ length: count }, () => 4 * random.unit() - 2);
      const [width, heads] = [kvHeads * headSize, group * kvHeads];
      const shape = { format, kvHeads, headSize, context };
      const cache = { ...shape, state: { slotBytes: cacheBytes(shape) } };
      const bytes = new Uint8Array(slots * cache.state.slotBytes);
      const sessions = Array.from({ length: slots }, () => ({ keys: numbers(context * width), values: numbers(context * width) }));
      const append = kvAppend({ ...cache, keyStride: width, valueStride: width });
      sessions.forEach(({ keys, values }, slot) => {
        const rows = Array.from({ length: context }, (_, position) => ({ slot, position }));
        interpretKernel(append, [region(keys), region(values), rowList(rows), { bytes }, context]);
      });

      const rows = pieces.flatMap(({ slot, start, length }): Row[] =>
        Array.from({ length: Math.min(length, context - start) }, (_, i) => ({ slot, position: start + i })),
      );
      const scale = Math.fround(0.3);
      const stride = heads * headSize;
      const tile = attentionTile(group, vectors);
      const kernel = attention({ ...cache, heads, scale, window, queryStride: stride, outputStride: stride, tile });
      const queries = numbers(rows.length * stride);
      const out = new Float32Array(rows.length * stride);
      const scratch = { bytes: new Uint8Array(scratchLayout({ ...cache, heads }).bytes).fill(0xa5) };
      interpretKernel(kernel, [region(queries), rowList(rows), { bytes }, scratch, region(out), rows.length]);

      const rounded = sessions.map(({ keys, values }) => ({
        keys: kvRoundings[format](keys, headSize),
        values: kvRoundings[format](values, headSize),
      }));
      const expected = new Float32Array(out.length);
      rows.forEach(({ slot, position }, row) => {
        for (let head = 0; head < heads; head++) {
          const at = row * stride + head * headSize;
          const session = rounded[slot];
          if (!session) throw new Error("no such slot");
          const first = window === null ? 0 : Math.max(0, position - window + 1);
          const place = { ...session, width, offset: Math.floor(head / group) * headSize, first, last: position, scale };
          contractAttend({ ...place, query: queries.subarray(at, at + headSize) }, expected.subarray(at, at + headSize));
        }
      });
      expect(Buffer.compare(region(out).bytes, region(expected).bytes)).toBe(0);
    }),
    { numRuns: 25, examples: [[usual, nearRuns]] },
  );
});

function region({ buffer, byteOffset, byteLength }: Float32Array | Int32Array): { readonly bytes: Uint8Array } {
  return { bytes: new Uint8Array(buffer, byteOffset, byteLength) };
}

function rowList(rows: readonly Row[]): { readonly bytes: Uint8Array } {
  const fields = Int32Array.from(rows.flatMap(({ slot, position }) => [0, slot, position, 0]));
  if (fields.byteLength !== rows.length * rowBytes) throw new Error("a row has other fields");
  return region(fields);
}
