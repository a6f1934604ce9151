import { describe, expect, test } from "vitest";
import { type Row, RowRunner } from "../../runtime/engine.ts";
import { argmax } from "../../runtime/sampler.ts";
import { fakeEngine, fakeManifest, refusal } from "./support.ts";

const manifest = fakeManifest();
const row = (token: number, position: number, wantsLogits = false, slot = 0): Row => ({ token, slot, position, wantsLogits });

function runner(): RowRunner {
  return new RowRunner(manifest, fakeEngine(manifest));
}

test("rows reach the memory as little-endian i32 quadruples", () => {
  const engine = fakeEngine(manifest);
  new RowRunner(manifest, engine).forward([row(7, 0), row(8, 1, true), row(9, 3, false, 2)]);
  const words = new Int32Array(engine.memory.buffer, manifest.memory.rows.offset, 12);
  expect([...words]).toEqual([7, 0, 0, 0, 8, 0, 1, 1, 9, 2, 3, 0]);
  expect(engine.calls).toEqual([{ rows: 3, logits: 1 }]);
});

test("logits come back for the rows that want them, in order", () => {
  const both = runner().forward([row(3, 0, true), row(4, 1), row(5, 2, true)]);
  expect(both.map(({ logits }) => logits.length)).toEqual([32, 32]);
  const one = runner();
  const [first] = one.forward([row(3, 0, true)]).map(({ logits }) => logits.slice());
  one.forward([row(4, 1)]);
  const [last] = one.forward([row(5, 2, true)]);
  expect(both[0]?.logits).toEqual(first);
  expect(both[1]?.logits).toEqual(last?.logits);
  expect(both[0]?.logits).not.toEqual(both[1]?.logits);
});

test("choices come back for the rows that want logits, in order, and are what argmax makes of them", async () => {
  const rows = [row(3, 0, true), row(4, 1), row(5, 2, true)];
  const outcomes = runner().forward(rows);
  expect(outcomes.map(({ likeliest }) => likeliest)).toEqual(outcomes.map(({ logits }) => argmax(logits)));
  expect(runner().forward([row(3, 0)])).toEqual([]);
  const lost = fakeEngine(manifest);
  const forward = (): void => {
    new Int32Array(lost.memory.buffer, manifest.memory.choices.offset, 2).set([7, -1]);
  };
  const { code, message } = await refusal(() => new RowRunner(manifest, { ...lost, forward }).forward(rows)[1]?.likeliest);
  expect([code, message]).toEqual(["run/input", expect.stringContaining("none of the logits is a finite number")]);
});

describe("is refused before anything runs", () => {
  test.each<readonly [string, string, readonly Row[]]>([
    ["no rows", "run/input", []],
    ["too many rows", "run/input", [0, 1, 2, 3, 4, 5].map((position) => row(1, position))],
    ["too many logits", "run/input", [0, 1, 2, 3].map((position) => row(1, position, true))],
    ["a token outside the vocabulary", "run/input", [row(32, 0)]],
    ["a negative token", "run/input", [row(-1, 0)]],
    ["half a token", "run/input", [row(1.5, 0)]],
    ["no such slot", "run/input", [row(1, 0, false, 3)]],
    ["a position outside the context", "run/context", [row(1, 24)]],
    ["a negative position", "run/context", [row(1, -1)]],
    ["a gap between positions", "run/input", [row(1, 0), row(1, 2)]],
    ["a position twice", "run/input", [row(1, 0), row(1, 0)]],
  ])("%s", async (_, code, rows) => {
    const engine = fakeEngine(manifest);
    expect((await refusal(() => new RowRunner(manifest, engine).forward(rows))).code).toBe(code);
    expect(engine.calls).toEqual([]);
  });
});

test("an engine's memory may begin anywhere in its buffer", () => {
  const engine = fakeEngine(manifest);
  const byteOffset = 128;
  const buffer = new ArrayBuffer(byteOffset + manifest.memory.bytes);
  const rows = new Int32Array(buffer, byteOffset + manifest.memory.rows.offset, 4);
  const logits = new Float32Array(buffer, byteOffset + manifest.memory.logits.offset, 32);
  const moved = new RowRunner(manifest, {
    memory: { buffer, byteOffset },
    forward(rowCount, logitCount) {
      new Int32Array(engine.memory.buffer, manifest.memory.rows.offset, 4).set(rows);
      engine.forward(rowCount, logitCount);
      logits.set(new Float32Array(engine.memory.buffer, manifest.memory.logits.offset, 32));
    },
  });
  const [found] = moved.forward([row(7, 0, true)]);
  expect(found).toEqual(runner().forward([row(7, 0, true)])[0]);
  expect(moved.slotBytes(1).byteOffset).toBe(byteOffset + manifest.memory.state.offset + manifest.memory.state.slotBytes);
});

test("closing closes the engine, once", async () => {
  let closed = 0;
  const closing = new RowRunner(manifest, { ...fakeEngine(manifest), close: () => closed++ });
  closing.close();
  closing.close();
  expect(closed).toBe(1);
  expect((await refusal(() => closing.forward([row(1, 0)]))).code).toBe("run/disposed");
});

test("an engine with too little memory is refused", async () => {
  const small = { memory: { buffer: new ArrayBuffer(64) }, forward: () => undefined };
  expect((await refusal(() => new RowRunner(manifest, small))).code).toBe("artefact/mismatch");
  const late = { memory: { buffer: new ArrayBuffer(manifest.memory.bytes), byteOffset: 64 }, forward: () => undefined };
  expect((await refusal(() => new RowRunner(manifest, late))).code).toBe("artefact/mismatch");
});
