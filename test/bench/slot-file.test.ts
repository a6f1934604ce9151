/** A slot's state that went through a file: a model that goes on from it computes the bits of the one that evaluated the tokens. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { checkFits, promptTokens, slot } from "../../compiler/bench/model.ts";
import { fillSlot } from "../../compiler/bench/slot-file.ts";
import { required } from "../../compiler/errors.ts";
import type { Model } from "../../runtime/index.ts";
import { compileTo, openModel, root, workFolder } from "../model/support.ts";

const folder = await workFolder();
const artefact = join(folder, "tiny");
const file = join(folder, "state");
const depth = 70;

beforeAll(async () => {
  await compileTo(artefact, { model: join(root, "test", "golden", "data", "dense-tiny"), context: 256 });
});

/** Bits of the logits after one more token. */
function next(model: Model): readonly number[] {
  const token = required(promptTokens(model, depth + 1)[depth], "token");
  const logits = required(model.forward([{ token, slot, position: depth, wantsLogits: true }])[0], "logits");
  return [...new Int32Array(logits.slice().buffer)];
}

test("the state goes from one model to another", async () => {
  const [first, second, third] = [await openModel(artefact), await openModel(artefact), await openModel(artefact)];
  fillSlot(first, depth, file);
  const expected = next(first);
  expect(statSync(file).size).toBe(first.manifest.memory.state.slotBytes);
  fillSlot(second, depth, file);
  expect(next(second)).toEqual(expected);
  expect(next(third)).not.toEqual(expected);
});

test("work that does not fit the context is refused", async () => {
  const { manifest } = await openModel(artefact);
  checkFits(manifest, { prompt: 100, decode: 1, depth: 156 });
  expect(() => {
    checkFits(manifest, { prompt: 100, decode: 1, depth: 157 });
  }).toThrow(/257 positions/);
  expect(() => {
    checkFits(manifest, { prompt: 1, decode: 100, depth: 157 });
  }).toThrow(/257 positions/);
});
