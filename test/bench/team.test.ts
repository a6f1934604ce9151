/** Bare kernels of a module on several threads at once: whose results land where, and what becomes of a thread that fails. */
import { afterEach, describe, expect, test } from "vitest";
import { instantiateKernels, type KernelInstance } from "../../compiler/bench/instance.ts";
import { streamRead, streamStepBytes } from "../../compiler/bench/roof-kernels.ts";
import { required } from "../../compiler/errors.ts";
import { recordKernel } from "../../compiler/kernel/builder.ts";
import type { TargetVariant } from "../../targets/target.ts";
import { wasmSimd } from "../../targets/wasm/target.ts";

const threads = 3;
const variant: TargetVariant = { ...required(wasmSimd.variants[0], "variant"), threads: true };

const read = streamRead(2);
const store = recordKernel("store_number", "writes a number", (b) => {
  const out = b.pointer("out", "write", "i32 [1]");
  b.store(b.scalar("number", "what to write"), out);
});

const open: KernelInstance[] = [];
async function team(): Promise<KernelInstance> {
  const instance = await instantiateKernels(wasmSimd, variant, [read, store], 4 * 65536, threads);
  open.push(instance);
  return instance;
}
afterEach(async () => {
  for (const instance of open.splice(0)) await instance.close();
});

test("every thread does its own call, in any round", async () => {
  const { memory, functions } = await team();
  const write = required(functions.get(store.name), "function");
  const view = new DataView(memory.buffer);
  for (let round = 0; round < 200; round++) {
    await write.together?.(Array.from({ length: threads }, (_, i) => [1024 + 64 * i, round * 10 + i]));
    expect(Array.from({ length: threads }, (_, i) => view.getInt32(1024 + 64 * i, true))).toEqual([0, 1, 2].map((i) => round * 10 + i));
  }
});

test("the stream kernel reads all of its streams", async () => {
  const { memory, functions } = await team();
  const bytes = 2 * 4 * streamStepBytes;
  memory.fill(0);
  memory[5] = 1;
  memory[bytes - 59] = 2;
  required(functions.get(read.name), "function").call([0, bytes, 4]);
  expect(memory[bytes + 5]).toBe(3);
});

describe("is an error", () => {
  test("when a kernel stops in a thread", async () => {
    const write = required((await team()).functions.get(store.name), "function");
    const outside = 2 ** 30;
    await expect(
      write.together?.([
        [0, 1],
        [64, 2],
        [outside, 3],
      ]),
    ).rejects.toThrow(/stopped in a thread/);
  });

  test("when there are more calls than threads", async () => {
    const write = required((await team()).functions.get(store.name), "function");
    await expect(
      write.together?.([
        [0, 1],
        [64, 2],
      ]),
    ).rejects.toThrow(/2 calls for 3 threads/);
  });
});
