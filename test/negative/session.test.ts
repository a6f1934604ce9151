/** Saved sessions that were altered: refused, with the slot free again and a session that was to take them as it had been. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { crc32 } from "../../runtime/crc32.ts";
import { load, type Model } from "../../runtime/index.ts";
import { caseFolder } from "../golden/read.ts";
import { outcome, refused, workFolder } from "./support.ts";

const folder = await workFolder();
const tokens = [1, 2, 3, 4, 5, 6, 7, 8, 9];
/** Magic, version, 8 words of hash, token count, evaluated, earliest, bytes of state. */
const headerWords = 14;
let model: Model;
let other: Model;
let saved = new Uint8Array(0);

async function open(name: string, quant: "q4_0" | "f32"): Promise<Model> {
  const output = join(folder, name);
  await compile({
    model: caseFolder("dense-tiny"),
    target: "wasm-simd",
    output,
    features: ["simd128"],
    quant,
    kv: "f16",
    context: 64,
    sessions: 1,
    prefillChunk: 8,
  });
  return await load({ base: pathToFileURL(`${output}/`) });
}

beforeAll(async () => {
  [model, other] = [await open("q4", "q4_0"), await open("f32", "f32")];
  const session = model.createSession();
  await session.prefill(tokens);
  saved = Uint8Array.from(session.save());
  session.release();
});

/** `bytes` with a checksum that fits again. */
function sealed(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  if (copy.length >= 4) new DataView(copy.buffer).setUint32(copy.length - 4, crc32(copy.subarray(0, -4)), true);
  return copy;
}

function withWord(index: number, value: number): Uint8Array {
  const copy = saved.slice();
  new DataView(copy.buffer).setUint32(index * 4, value, true);
  return sealed(copy);
}

describe.each<readonly [string, () => Uint8Array]>([
  ["no bytes", () => new Uint8Array(0)],
  ["four bytes", () => saved.subarray(0, 4)],
  ["the header alone", () => sealed(saved.subarray(0, headerWords * 4))],
  ["a header and a checksum", () => sealed(saved.subarray(0, headerWords * 4 + 4))],
  ["one byte less", () => sealed(saved.subarray(0, -1))],
  ["one byte more", () => sealed(Buffer.concat([saved, Buffer.alloc(1)]))],
  ["twice as many bytes", () => sealed(Buffer.concat([saved, saved]))],
  ["the second half", () => saved.subarray(saved.length >> 1)],
  ["another magic", () => withWord(0, 0)],
  ["an older version", () => withWord(1, 0)],
  ["a newer version", () => withWord(1, 2)],
  ["another hash", () => withWord(5, 0)],
  ["no tokens", () => withWord(10, 0)],
  ["2^32 - 1 tokens", () => withWord(10, 2 ** 32 - 1)],
  ["2^30 tokens, which wrap to none", () => withWord(10, 2 ** 30)],
  ["more evaluated than tokens", () => withWord(11, 10)],
  ["rings that reach beyond the end", () => withWord(12, 10)],
  ["a state of no bytes", () => withWord(13, 0)],
  ["a state of 2^32 - 1 bytes", () => withWord(13, 2 ** 32 - 1)],
  ["a token outside the vocabulary", () => withWord(headerWords, 256)],
  ["a token of 2^32 - 1", () => withWord(headerWords + 8, 2 ** 32 - 1)],
])("%s", (_, bytes) => {
  test("is refused by restore and by load", async () => {
    expect((await refused(() => model.restore(bytes()))).code).toMatch(/^artefact\//);
    const session = model.createSession();
    // Other tokens than the saved ones, so that a part of those would show.
    await session.prefill(tokens.map((token) => token + 20));
    const before = session.save();
    await refused(() => {
      session.load(bytes());
    });
    expect(session.save()).toEqual(before);
    session.release();
  });
});

test("another model's session, in both directions", async () => {
  expect((await refused(() => other.restore(saved))).code).toBe("artefact/mismatch");
  const session = other.createSession();
  await session.prefill(tokens);
  expect((await refused(() => model.restore(session.save()))).code).toBe("artefact/mismatch");
  session.release();
});

test("bytes at an odd address are read all the same", () => {
  const shifted = new Uint8Array(saved.length + 1);
  shifted.set(saved, 1);
  const session = model.restore(shifted.subarray(1));
  expect(session.tokens).toEqual(tokens);
  session.release();
});

test("any flipped bit and any cut is noticed", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(saved.length * 8 - 1), fc.boolean(), async (bit, cut) => {
      const at = bit >> 3;
      await refused(() => model.restore(cut ? saved.subarray(0, at) : saved.with(at, (saved[at] ?? 0) ^ (1 << (bit & 7)))));
    }),
    { numRuns: 400 },
  );
});

test("any words with a checksum that fits are refused properly, or make a session that runs", async () => {
  const word = fc.oneof(fc.nat(80), fc.integer({ min: 2 ** 31, max: 2 ** 32 - 1 }));
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: (saved.length >> 2) - 2 }), word, fc.boolean(), async (index, value, inHeader) => {
      await outcome(async () => {
        const session = model.restore(withWord(inHeader ? 10 + (index % 12) : index, value));
        try {
          session.rewind(Math.min(2, session.position));
          await session.complete([1], { maxTokens: 2, ignoreEos: true });
        } finally {
          session.release();
        }
      });
    }),
    { numRuns: 200 },
  );
  model.createSession().release();
});
