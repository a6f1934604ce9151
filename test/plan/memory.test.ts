/** The plans behind `npm run plan:memory`: what sessions of a published shape take, next to those of the same shape with attention in every layer. */
import { expect, test } from "vitest";
import { contexts, plansOf, shapeNames } from "../bench/memory.ts";

test("every published shape is in the table", async () => {
  expect(await shapeNames()).toHaveLength(11);
});

test("a session's cache grows with context and attention layers alone, also past 2 GiB", async () => {
  const { layers, attentionLayers, plans } = await plansOf("LFM2.5-230M");
  expect([attentionLayers, layers]).toEqual([6, 14]);
  // The config allows 128,000 positions.
  expect(plans.map(({ context }) => context)).toEqual([contexts["4k"], contexts["32k"], 128_000]);
  for (const { context, session, totalBytes, weightBytes, everyLayerAttention } of plans) {
    const layerBytes = context * 8 * 64 * 2 * 2;
    expect(session.kvCacheBytes).toBe(attentionLayers * layerBytes);
    expect(session.bytes).toBe(session.kvCacheBytes + session.ringBytes + session.checkpointBytes);
    expect(totalBytes).toBeGreaterThan(weightBytes + session.bytes);
    expect(everyLayerAttention.session).toEqual({
      bytes: layers * layerBytes,
      kvCacheBytes: layers * layerBytes,
      ringBytes: 0,
      checkpointBytes: 0,
    });
  }
});
