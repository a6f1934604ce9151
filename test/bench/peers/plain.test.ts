/** The plain loops compute the same model: their f32 logits are the reference's, and int8 costs what it may. */
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { importModel } from "../../../compiler/import/model.ts";
import { caseFolder, goldenTensor, largestDifference, meanDivergence, readGolden, type GoldenCase } from "../../golden/read.ts";
import { buildPlain } from "./plain/build.ts";
import { plainWeightBytes, writePlainModel, type PlainEncoding } from "./plain/weights-file.ts";
import { cCompiler, missingTools } from "./tools.ts";

const obstacle = missingTools([cCompiler]);
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lfmc-plain-"));
  if (obstacle === null) await buildPlain(join(folder, "plain"));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

/** Logits after each token of the case's prompt, [tokens, vocabulary]. */
async function logitsOf(name: GoldenCase, encoding: PlainEncoding): Promise<Float32Array> {
  const path = join(folder, `${name}-${encoding}`);
  await writePlainModel(caseFolder(name), path, encoding);
  const ids = readGolden(name).ids.map(String);
  const { stdout, stderr, status } = spawnSync(join(folder, "plain"), ["logits", path, ...ids], { maxBuffer: 2 ** 28 });
  expect([status, stderr.toString()]).toEqual([0, ""]);
  return new Float32Array(new Uint8Array(stdout).buffer);
}

test.for(["dense-tiny", "dense-odd", "dense-extra"] as const)("f32: %s has the reference's logits", async (name, context) => {
  if (obstacle !== null) context.skip(obstacle);
  expect(largestDifference(await logitsOf(name, "f32"), goldenTensor(name, "golden", "logits"))).toBeLessThan(1e-3);
});

test("int8: dense-tiny is as close to f32 as lfmc's own q8_0, which has the same groups, is held to (golden/encodings)", async (context) => {
  if (obstacle !== null) context.skip(obstacle);
  const [found, golden] = [await logitsOf("dense-tiny", "int8"), goldenTensor("dense-tiny", "golden", "logits")];
  expect(largestDifference(found, golden)).toBeLessThanOrEqual(0.5);
  expect(meanDivergence(golden, found, readGolden("dense-tiny").ids.length)).toBeLessThanOrEqual(0.004);
});

test.each(["f32", "int8"] as const)("a file in %s is its header and the bytes of weights that are reported", async (encoding) => {
  const path = join(folder, "sized");
  await writePlainModel(caseFolder("dense-tiny"), path, encoding);
  const { config, store } = await importModel(caseFolder("dense-tiny"));
  await store.close();
  const headerBytes = 4 * (14 + config.layers.length);
  expect((await stat(path)).size).toBe(headerBytes + plainWeightBytes(config, encoding));
});

test.each([
  ["moe-tiny", "f32", "is a mixture of experts"],
  ["dense-odd", "int8", "has 72 columns in model.embed_tokens.weight"],
] as const)("%s in %s is refused", async (name, encoding, fact) => {
  await expect(writePlainModel(caseFolder(name), join(folder, "refused"), encoding)).rejects.toThrow(fact);
});
