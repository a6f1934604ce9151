/**
 * attention: appends k and v of all rows to their sessions' caches, then lets each query head attend causally, at most `window`
 * positions back, its own included. Query head h uses key head floor(h / (heads / kvHeads)). `kv` is how the cache rounds (kv-cache).
 * q [rows, heads * headSize], k and v [rows, kvHeads * headSize] -> [rows, heads * headSize].
 */
import { kvFormats, kvRoundings } from "../kv-cache.ts";
import { activationType } from "../operands.ts";
import { dense } from "../tensor.ts";
import { defineOp } from "./op.ts";

export const attention = defineOp({
  name: "attention",
  attributes: (read) => ({
    heads: read.count("heads"),
    kvHeads: read.count("kvHeads"),
    headSize: read.count("headSize"),
    scale: read.positive("scale"),
    window: read.optionalCount("window"),
    state: read.index("state"),
    kv: read.choice("kv", kvFormats),
  }),
  operands: () => ["q", "k", "v"],
  infer(types, { heads, kvHeads, headSize }) {
    const q = types.activation("q", { width: heads * headSize });
    if (q.rows !== "rows") types.fail("q must hold all rows");
    types.activationBeside("k", q, kvHeads * headSize);
    types.activationBeside("v", q, kvHeads * headSize);
    if (heads % kvHeads !== 0) types.fail(`${heads} heads are not a multiple of ${kvHeads} key heads`);
    return [activationType("rows", q.width)];
  },
  evaluate({ arithmetic, rows, state: sessions }, operands, { heads, kvHeads, headSize, scale, window, state, kv }) {
    const width = kvHeads * headSize;
    const stored = kvRoundings[kv];
    const cache = (slot: number, name: "k" | "v") => sessions.history(state, slot, name, width);
    const k = operands.dense("k").data;
    const v = operands.dense("v").data;
    rows.forEach(({ slot, position }, row) => {
      cache(slot, "k").write(position, stored(k.subarray(row * width, (row + 1) * width), headSize));
      cache(slot, "v").write(position, stored(v.subarray(row * width, (row + 1) * width), headSize));
    });
    const q = operands.dense("q");
    const out = new Float32Array(q.data.length);
    rows.forEach(({ slot, position }, row) => {
      const keys = cache(slot, "k").data;
      const values = cache(slot, "v").data;
      const first = window === null ? 0 : Math.max(0, position - window + 1);
      for (let head = 0; head < heads; head++) {
        const start = (row * heads + head) * headSize;
        const offset = Math.floor((head * kvHeads) / heads) * headSize;
        const query = q.data.subarray(start, start + headSize);
        const range = { first, last: position, scale: Math.fround(scale) };
        arithmetic.attend({ query, keys, values, width, offset, ...range }, out.subarray(start, start + headSize));
      }
    });
    return [dense(q.shape, out)];
  },
});
