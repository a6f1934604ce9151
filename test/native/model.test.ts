/**
 * A compiled model as a native library: the logits of every split and thread count have the bits of the WebAssembly artefact, and sessions go
 * from one to the other.
 */
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { argmax, type Model, type Part, type Session } from "../../runtime/index.ts";
import { isInstalled, toolchains } from "../bits/toolchains.ts";
import { caseFolder } from "../golden/read.ts";
import {
  compileTo,
  decodes,
  demoFolder,
  firstDifference,
  forwardAll,
  oneThread,
  openModel,
  someTokens,
  workFolder,
} from "../model/support.ts";
import { compileNative, openNative } from "./support.ts";

const folder = await workFolder();
const minutes = 60_000;

const { gcc, clang } = toolchains;
/** Where the compiler is not installed, the system's own builds the library. clang takes a quarter of gcc's time for portable code. */
const models = [
  { name: "dense-odd", toolchain: gcc, options: { model: caseFolder("dense-odd"), sessions: 2, context: 200, prefillChunk: 19 } },
  { name: "demo model", toolchain: clang, options: { model: demoFolder, sessions: 2, context: 300 } },
] as const;

describe.each(models)("$name", ({ name, toolchain, options }) => {
  const place = join(folder, name.replaceAll(" ", "-"));
  let wasm: Model;
  let native: string;

  beforeAll(async () => {
    if (isInstalled(toolchain.compiler)) process.env.CC = toolchain.compiler;
    await compileTo(`${place}-wasm`, { ...options, features: oneThread });
    wasm = await openModel(`${place}-wasm`, { variant: "simd128" });
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

  test(
    "a session that moves between targets in the middle of a generation goes on with the same bits",
    { timeout: 2 * minutes },
    async () => {
      const targets = [wasm, await openModel(`${place}-wasm`, { variant: "relaxed" }), await openNative(native, { threads: 2 })];
      expect(targets.map(({ variant }) => variant?.name)).toEqual(["simd128", "relaxed", "scalar"]);
      const hop = fc.record({ to: fc.nat(targets.length - 1), shown: fc.nat(9), decode: fc.constantFrom(...decodes) });
      const journey = fc.record({
        hops: fc.array(hop, { minLength: 2, maxLength: 8 }),
        prompt: fc.integer({ min: 1, max: 90 }),
        temperature: fc.constantFrom(0, 0.8),
        seed: fc.nat(),
      });
      await fc.assert(
        fc.asyncProperty(journey, async ({ hops, prompt, temperature, seed }) => {
          const settings = { temperature, seed, ignoreEos: true };
          const tokens = someTokens(prompt, wasm.manifest.model.vocabSize, seed);
          let session = wasm.createSession();
          await session.prefill(tokens);
          for (const { to, shown, decode } of hops) {
            const saved = session.save();
            session.release();
            session = (targets[to] ?? wasm).restore(saved);
            // More is asked for than taken.
            if (shown > 0) await taken(session.generate([], { ...settings, decode, maxTokens: shown + 5 }), shown);
          }
          const found = session.tokens;
          const logits = await lastLogits(session);
          session.release();
          const alone = wasm.createSession();
          await alone.complete(tokens, { ...settings, maxTokens: found.length - prompt });
          expect(found).toEqual(alone.tokens);
          expect(firstDifference([logits], [await lastLogits(alone)])).toBeNull();
          alone.release();
        }),
        { numRuns: 12 },
      );
      for (const target of targets.slice(1)) await target.dispose();
    },
  );

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

/** Takes `count` parts and lets go of the rest. */
async function taken(parts: AsyncIterable<Part>, count: number): Promise<void> {
  let shown = 0;
  for await (const _ of parts) if (++shown === count) break;
}

/** The logits after one more token. */
async function lastLogits(session: Session): Promise<Float32Array> {
  const found: Float32Array[] = [];
  for await (const logits of session.logits([7])) found.push(logits);
  return found[0] ?? new Float32Array(0);
}
