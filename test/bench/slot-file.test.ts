/** A slot's state that went through a file: a model that goes on from it computes the bits of the one that evaluated the tokens; or that was made up. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { checkFits, promptTokens, slot } from "../../compiler/bench/model.ts";
import { fillSlot, slotBytes } from "../../compiler/bench/slot-file.ts";
import { fillSlotSynthetically } from "../../compiler/bench/synthetic-slot.ts";
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

test("a slot that was filled synthetically holds small numbers at every byte, and gives finite logits", async () => {
  const model = await openModel(artefact);
  const state = slotBytes(model, 0);
  fillSlotSynthetically(model);
  const view = new DataView(state.buffer, state.byteOffset, state.byteLength);
  for (let at = 0; at + 4 <= state.length; at++) {
    const size = Math.abs(view.getFloat32(at, true));
    if (!(size > 1e-4 && size < 0.03)) throw new Error(`${view.getFloat32(at, true)} at ${at}`);
  }
  const [logits] = model.forward([{ token: 1, slot, position: 255, wantsLogits: true }]);
  expect(required(logits, "logits").every(Number.isFinite)).toBe(true);
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
