/**
 * A compiled model as a native library: the logits of every split and thread count have the bits of the WebAssembly artefact, and sessions go
 * from one to the other.
 */
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { argmax, type Model, type Session } from "../../runtime/index.ts";
import { caseFolder } from "../golden/read.ts";
import { compileTo, demoFolder, firstDifference, forwardAll, oneThread, openModel, someTokens, workFolder } from "../model/support.ts";
import { compileNative, openNative } from "./support.ts";

const folder = await workFolder();
const minutes = 60_000;

const models = [
  { name: "dense-odd", options: { model: caseFolder("dense-odd"), sessions: 2, context: 200, prefillChunk: 19 } },
  { name: "demo model", options: { model: demoFolder, sessions: 2, context: 300 } },
] as const;

describe.each(models)("$name", ({ name, options }) => {
  let wasm: Model;
  let native: string;

  beforeAll(async () => {
    const place = join(folder, name.replaceAll(" ", "-"));
    wasm = await openModel((await compileTo(`${place}-wasm`, { ...options, features: oneThread })).folder);
    native = await compileNative(`${place}-c`, { ...options, target: "c" });
    await (await openNative(native)).dispose();
  }, 4 * minutes);

  test.each([1, 2])("logits and choices have the same bits on %i threads, for every split of the rows", async (threads) => {
    const model = await openNative(native, { threads });
    const tokens = someTokens(150, model.manifest.model.vocabSize);
    const expected = forwardAll(wasm, tokens);
    for (const chunk of [1, 7, 64]) expect(firstDifference(forwardAll(model, tokens, chunk), expected), `chunk ${chunk}`).toBeNull();
    const rows = tokens.slice(0, 5).map((token, position) => ({ token, slot: 1, position, wantsLogits: true }));
    expect(model.choose(rows)).toEqual(expected.slice(0, 5).map(argmax));
    await model.dispose();
  });

  test("a session that WebAssembly saved goes on in C with the same tokens, and back", async () => {
    const model = await openNative(native, { threads: 2 });
    const settings = { maxTokens: 12, temperature: 0.8, seed: 9, ignoreEos: true };
    const prompt = someTokens(40, model.manifest.model.vocabSize, 3);
    const whole = wasm.createSession();
    const { tokens: expected } = await whole.complete(prompt, { ...settings, maxTokens: 36 });
    whole.release();
    let session: Session = wasm.createSession();
    const found = [...(await session.complete(prompt, settings)).tokens];
    for (const next of [model, wasm]) {
      const saved = session.save();
      session.release();
      session = next.restore(saved);
      found.push(...(await session.complete([], settings)).tokens);
    }
    session.release();
    expect(found).toEqual(expected);
    await model.dispose();
  });

  test("rewinds, near and far, and forks leave the bits of a fresh run", async () => {
    const model = await openNative(native, { threads: 2 });
    const tokens = someTokens(140, model.manifest.model.vocabSize, 5);
    const session = model.createSession();
    await model.evaluate([{ session, tokens }]);
    const other = session.fork();
    for (const length of [130, 70, 3]) {
      session.rewind(length);
      const [logits] = await model.evaluate([{ session, tokens: [7] }]);
      const fresh = forwardAll(wasm, [...tokens.slice(0, length), 7]).slice(-1);
      expect(firstDifference([logits ?? new Float32Array()], fresh), `length ${length}`).toBeNull();
    }
    const [logits] = await model.evaluate([{ session: other, tokens: [7] }]);
    expect(argmax(logits ?? new Float32Array())).toBe(argmax(forwardAll(wasm, [...tokens, 7]).at(-1) ?? new Float32Array()));
    await model.dispose();
  });
});
