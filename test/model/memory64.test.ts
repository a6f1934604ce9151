/**
 * A model whose memory 32 bits do not address: a small one with so many session slots that the regions behind them come to lie about 4 GiB.
 * Untouched pages take no room. Its logits are those of the same model with one slot.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import type { Manifest, Model } from "../../runtime/index.ts";
import { detectFeatures } from "../../runtime/features.ts";
import { checkModule } from "../conformance/independent.ts";
import { caseFolder } from "../golden/read.ts";
import { compileTo, firstDifference, forwardAll, type ModelOptions, openModel, someTokens, workFolder } from "./support.ts";

const folder = await workFolder();
const options = { model: caseFolder("dense-tiny"), context: 96, prefillChunk: 16 };
const settings = { maxTokens: 6, temperature: 0, ignoreEos: true };
const boundary = 2 ** 32;
let small: Model;
let tokens: readonly number[];
let logits: readonly Float32Array[];

beforeAll(async () => {
  small = await openModel((await compileTo(join(folder, "small"), options)).folder);
  tokens = someTokens(40, small.manifest.model.vocabSize);
  logits = forwardAll(small, tokens);
});

/** Slots until the region of slots reaches `address`, whole ones. */
function slotsBelow(address: number): number {
  const { offset, slotBytes } = small.manifest.memory.state;
  return Math.floor((address - offset) / slotBytes);
}

type Region = "weights" | "state";

function lieOnBothSides({ memory }: Manifest, region: Region): boolean {
  const { offset, bytes } = memory[region];
  return offset < boundary && offset + bytes > boundary;
}

test.for<readonly [Region, Partial<ModelOptions>, () => number]>([
  ["weights", { shardSize: 20_000 }, () => slotsBelow(boundary - small.manifest.memory.weights.bytes / 2)],
  ["state", { embedWeights: true }, () => slotsBelow(boundary) + 1],
])("%s on both sides of 4 GiB, %j: the bits of a small memory", async ([region, place, slots], context) => {
  if (!detectFeatures().has("memory64")) context.skip("this engine lacks memory64");
  const residentBytes = process.memoryUsage.rss();
  const { folder: artefact } = await compileTo(join(folder, region), { ...options, ...place, sessions: slots() });
  const model = await openModel(artefact);
  const { manifest } = model;
  expect(manifest.memory.bytes).toBeGreaterThan(boundary);
  expect(lieOnBothSides(manifest, region)).toBe(true);
  expect(manifest.variants.map(({ name, features }) => ({ name, features }))).toEqual([
    { name: "simd128", features: ["simd128", "memory64"] },
    { name: "relaxed", features: ["simd128", "relaxed", "memory64"] },
    { name: "simd128", features: ["simd128", "memory64", "threads"] },
    { name: "relaxed", features: ["simd128", "relaxed", "memory64", "threads"] },
  ]);
  const binary = await readFile(join(artefact, "model.simd128.wasm"));
  const functions = place.embedWeights ? ["forward", "embed"] : ["forward"];
  await checkModule(binary, { memoryPages: manifest.memory.pages, addresses: 64, functions });
  // The last slot is the one that lies on both sides, where one does.
  for (const slot of [0, manifest.limits.sessions - 1]) expect(firstDifference(logitsIn(model, slot), logits)).toBeNull();

  const session = small.createSession();
  await session.complete(tokens, settings);
  const moved = model.restore(session.save());
  const [expected, found] = [await session.complete([1], settings), await moved.complete([1], settings)];
  expect(found.tokens).toEqual(expected.tokens);
  session.release();
  expect(process.memoryUsage.rss() - residentBytes).toBeLessThan(1e9);
  await model.dispose();
});

/** The logits after each token, from an empty slot. */
function logitsIn(model: Model, slot: number): readonly Float32Array[] {
  return tokens.flatMap((token, position) => model.forward([{ token, slot, position, wantsLogits: true }]).map((row) => row.slice()));
}
