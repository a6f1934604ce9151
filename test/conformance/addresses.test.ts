/** Indices carry a sign on every target: also where pointers are wider than they are. */

import { expect, test } from "vitest";
import { recordKernel } from "../../compiler/kernel/builder.ts";
import { i32 } from "../../compiler/kernel/ir.ts";
import { distinct } from "./targets.ts";

/** Copies the word that lies `distance` bytes and then `count` words from `from` to the same place behind `out`, each in its own way. */
const copy = recordKernel("copy_word", "copies one word", (b) => {
  const from = b.pointer("from", "read", "any word");
  const out = b.pointer("out", "write", "any word");
  const distance = b.scalar("distance", "bytes");
  const count = b.scalar("count", "words");
  b.store(b.load(i32, b.advance(from, count, 4), distance), b.advance(out, count, 4), distance);
});

test.each(distinct)("$name: an index below 0 leads back, an index above 0 on", async ({ build }) => {
  const { memory, call, close } = await build([copy], { memoryBytes: 65536, optimize: false });
  const words = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  const [from, out] = [32768, 32768 + 256];
  const places = [-12288, -4, 0, 4, 24].flatMap((distance) => [-3000, -1, 0, 9].map((count) => ({ distance, count })));
  for (const { distance, count } of places) {
    const at = distance + 4 * count;
    memory.fill(0);
    words.setInt32(from + at, 0x01020304, true);
    call(copy.name, [from, out, distance, count]);
    expect(words.getInt32(out + at, true)).toBe(0x01020304);
  }
  close?.();
});
