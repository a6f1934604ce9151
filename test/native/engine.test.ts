/**
 * A library as an engine: whatever sessions do on it gives the bits that the fake engine gives, whose twin in C it is, for any number of
 * threads; and what is wrong with it, its weights or the call is refused.
 */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { load, type LoadOptions, type Manifest, type Model, type Session } from "../../runtime/library/index.ts";
import { firstDifference, someTokens, workFolder } from "../model/support.ts";
import { fakeModel, refusal, sealed, type FakeShape } from "../runtime/support.ts";
import { openNative, threadsOfProcess, writeFakeArtefact } from "./support.ts";

const shape: FakeShape = { context: 40, prefillChunk: 7, sessions: 3 };
const folder = join(await workFolder(), "fake");
let manifest: Manifest;

beforeAll(async () => {
  manifest = writeFakeArtefact(folder, shape);
  await (await openNative(folder)).dispose();
});

test("the model tells what runs", async () => {
  const model = await openNative(folder, { threads: 2, variant: "scalar" });
  expect(model.variant).toEqual(manifest.variants[0]);
  expect(model.manifest).toEqual(manifest);
  await model.dispose();
});

const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("append" as const), count: fc.integer({ min: 1, max: 12 }), seed: fc.nat(99) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("rewind" as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("fork" as const, "restore" as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** What a session's logits are after these steps, and its saved bytes. */
async function take(model: Model, steps: readonly Step[]): Promise<{ logits: readonly Float32Array[]; saved: Uint8Array }> {
  let session: Session = model.createSession();
  const logits: Float32Array[] = [];
  const replace = (next: Session): void => {
    session.release();
    session = next;
  };
  for (const one of steps) {
    if (one.kind === "append") {
      const tokens = someTokens(Math.min(one.count, manifest.limits.context - session.position), manifest.model.vocabSize, one.seed);
      logits.push(...(await model.evaluate([{ session, tokens }])));
    } else if (one.kind === "rewind") session.rewind(Math.floor(one.share * session.position));
    else replace(one.kind === "fork" ? session.fork() : model.restore(session.save()));
  }
  const saved = session.save();
  session.release();
  return { logits, saved };
}

describe.each([1, 2, 3])("%i threads", (threads) => {
  test("any sequence of calls, rewinds, forks and restores gives the fake engine's bits, and its saved sessions", async () => {
    const { model: fake } = fakeModel({ ...shape });
    const native = await openNative(folder, { threads });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        const [expected, found] = [await take(fake, steps), await take(native, steps)];
        expect(firstDifference(found.logits, expected.logits)).toBeNull();
        expect(found.saved).toEqual(expected.saved);
      }),
      { numRuns: 50 },
    );
    await native.dispose();
  });
});

test("generation goes on in the library where it stopped in the fake engine", async () => {
  const { model: fake } = fakeModel({ ...shape });
  const native = await openNative(folder, { threads: 2 });
  const settings = { maxTokens: 8, temperature: 0.7, seed: 5, ignoreEos: true };
  const whole = fake.createSession();
  const { tokens: expected } = await whole.complete([1, 2, 3], { ...settings, maxTokens: 16 });
  const begun = fake.createSession();
  await begun.complete([1, 2, 3], settings);
  const resumed = native.restore(begun.save());
  const { tokens } = await resumed.complete([], settings);
  expect(tokens).toEqual(expected.slice(8));
  await native.dispose();
});

test("dispose ends the threads, and what comes after it is refused", async (context) => {
  const before = threadsOfProcess();
  const model = await openNative(folder, { threads: 5 });
  const session = model.createSession();
  await session.prefill([1, 2]);
  const during = threadsOfProcess();
  await model.dispose();
  await model.dispose();
  expect((await refusal(() => session.prefill([3]))).code).toBe("run/disposed");
  if (before === null || during === null) return context.skip("the system does not count a process's threads");
  expect(during - before).toBeGreaterThanOrEqual(4);
  expect(threadsOfProcess()).toBeLessThanOrEqual(during - 4);
});

test("a memory that was transferred away is not touched", async () => {
  const model = await openNative(folder);
  const [logits] = model.forward([{ token: 1, slot: 0, position: 0, wantsLogits: true }]);
  if (!logits) throw new Error("no logits");
  const taken = structuredClone(logits, { transfer: [logits.buffer] });
  const { code } = await refusal(() => model.forward([{ token: 1, slot: 0, position: 1, wantsLogits: true }]));
  expect(code).toBe("run/disposed");
  expect(taken.length).toBe(manifest.model.vocabSize);
});

describe("is refused:", () => {
  /** A copy of the artefact and its library, with the file `path` altered. */
  function altered(name: string, path: string, change: (bytes: Uint8Array) => Uint8Array): string {
    const copy = `${folder}-${name}`;
    cpSync(folder, copy, { recursive: true });
    writeFileSync(join(copy, path), change(readFileSync(join(copy, path))));
    return copy;
  }
  const flipped = (at: number) => (bytes: Uint8Array) => Uint8Array.from(bytes, (byte, i) => (i === at ? byte ^ 1 : byte));
  const opened = (from: string, options: LoadOptions = {}) => refusal(() => load({ base: pathToFileURL(`${from}/`), ...options }));

  test("a library that is not there", async () => {
    const bare = `${folder}-bare`;
    writeFakeArtefact(bare, shape);
    const { code, message } = await opened(bare);
    expect(code).toBe("io/missing");
    expect(message).toContain("libfake");
  });

  test("a library of another artefact", async () => {
    const { code } = await opened(folder, { manifest: JSON.parse(JSON.stringify({ ...manifest, name: "other" })), library: libraryUrl() });
    expect(code).toBe("io/missing");
  });

  const libraryUrl = (): URL => pathToFileURL(join(folder, "build", "libfake.so"));

  test("a library that was built before its model was compiled anew", async () => {
    const longer = sealed({ ...manifest, memory: { ...manifest.memory, bytes: manifest.memory.bytes + 64 } });
    expect((await opened(folder, { manifest: longer })).code).toBe("artefact/mismatch");
  });

  test("weights that are not there, too short, or of another model", async () => {
    const missing = await opened(folder, { weights: pathToFileURL(`${folder}/nowhere/`) });
    expect(missing.code).toBe("io/missing");
    const short = altered("short", "weights.bin", (bytes) => bytes.slice(0, -1));
    expect((await opened(short)).code).toBe("artefact/mismatch");
    const foreign = altered("foreign", "weights.bin", flipped(4096 + 20));
    expect((await opened(foreign)).code).toBe("artefact/mismatch");
  });

  test("an altered weight, where hashes are asked for", async () => {
    const copy = altered("bit", "weights.bin", flipped(7));
    await (await load({ base: pathToFileURL(`${copy}/`) })).dispose();
    expect(await opened(copy, { verify: true })).toMatchObject({ code: "artefact/mismatch" });
  });

  test.each([0, 65, 1.5, NaN])("%d threads", async (threads) => {
    expect((await opened(folder, { threads })).code).toBe("run/variant");
  });

  test("a variant that is not there", async () => {
    const { code, message } = await opened(folder, { variant: "avx2" });
    expect(code).toBe("run/variant");
    expect(message).toContain("avx2");
  });

  test("a folder that is no folder of files", async () => {
    const source = { read: () => Promise.resolve(new Uint8Array()) };
    const { code } = await refusal(() => load({ manifest, source, tokenizer: null }));
    expect(code).toBe("io/missing");
  });
});
