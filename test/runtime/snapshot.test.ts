import fc from "fast-check";
import { expect, test } from "vitest";
import { crc32 } from "../../runtime/crc32.ts";
import { LfmcError } from "../../runtime/errors.ts";
import { type Fake, fakeModel, refusal } from "./support.ts";

async function saved(): Promise<Uint8Array> {
  const session = fakeModel().model.createSession();
  await session.complete([3, 1, 4, 1, 5], { maxTokens: 3 });
  return session.save();
}

/** `bytes` with a checksum that fits again. */
function sealed(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  new DataView(copy.buffer).setUint32(copy.length - 4, crc32(copy.subarray(0, -4)), true);
  return copy;
}

test("CRC-32 of the check string", () => {
  expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
});

test("a saved session goes on in another instance of the model, with the same tokens", async () => {
  const whole = await fakeModel().model.createSession().complete([3, 1, 4, 1, 5], { maxTokens: 9 });
  const restored = fakeModel().model.restore(await saved());
  expect(restored.position).toBe(8);
  expect((await restored.complete([], { maxTokens: 6 })).tokens).toEqual(whole.tokens.slice(3));
});

test("a fork goes its own way", async () => {
  const session = fakeModel().model.createSession();
  await session.prefill([3, 1, 4]);
  const fork = session.fork();
  await fork.prefill([9, 9]);
  const plain = await fakeModel().model.createSession().complete([3, 1, 4], { maxTokens: 4 });
  expect((await session.complete([], { maxTokens: 4 })).tokens).toEqual(plain.tokens);
  expect(fork.tokens).toEqual([3, 1, 4, 9, 9]);
});

test("another model's session is refused by its hash, or by its size", async () => {
  const bytes = await saved();
  expect((await refusal(() => fakeModel({ hash: "cd".repeat(32) }).model.restore(bytes))).code).toBe("artefact/mismatch");
  expect((await refusal(() => fakeModel({ context: 30 }).model.restore(bytes))).code).toBe("artefact/invalid");
});

test.each([
  ["nothing", (bytes: Uint8Array) => bytes.subarray(0, 0)],
  ["another magic", (bytes: Uint8Array) => sealed(bytes.with(0, 0))],
  ["another version", (bytes: Uint8Array) => sealed(bytes.with(4, 2))],
  ["one byte less", (bytes: Uint8Array) => sealed(bytes.subarray(0, -1))],
  ["one byte more", (bytes: Uint8Array) => sealed(Uint8Array.of(...bytes, 0))],
  ["a huge token count", (bytes: Uint8Array) => sealed(bytes.with(43, 0xff))],
  ["more evaluated than there is", (bytes: Uint8Array) => sealed(bytes.with(44, 20))],
  ["rings that reach beyond what is evaluated", (bytes: Uint8Array) => sealed(bytes.with(48, 9))],
  ["rings that reach further back than they do", (bytes: Uint8Array) => sealed(bytes.with(48, 2))],
  ["a token outside the vocabulary", (bytes: Uint8Array) => sealed(bytes.with(56, 32))],
])("%s is refused, and the slot is free again", async (_, change) => {
  const bytes = change(await saved());
  const { model }: Fake = fakeModel({ sessions: 1 });
  expect((await refusal(() => model.restore(bytes))).code).toMatch(/^artefact\//);
  model.createSession();
});

test("any changed byte is noticed", async () => {
  const bytes = await saved();
  const { model } = fakeModel({ sessions: 1 });
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      expect(() => model.restore(bytes.with(at, (bytes[at] ?? 0) ^ change))).toThrow(LfmcError);
    }),
    { numRuns: 300 },
  );
});
