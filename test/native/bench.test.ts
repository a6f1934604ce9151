/** `lfmc bench` on C: the records' fields, and roofs that native kernels find, on one thread and on several. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { streamRead, streamStepBytes } from "../../compiler/bench/roof-kernels.ts";
import { instantiateKernels } from "../../compiler/bench/instance.ts";
import { plansWith } from "../../compiler/bench/kernels.ts";
import { required } from "../../compiler/errors.ts";
import { runsVariant } from "../../compiler/native/processor.ts";
import { loadTarget } from "../../compiler/targets.ts";
import { isInstalled, toolchains } from "../bits/toolchains.ts";
import { lfmc, record } from "../cli/support.ts";
import { workFolder } from "../model/support.ts";
import { writeFakeArtefact } from "./support.ts";

const folder = await workFolder();
const cache = join(folder, "cache");
process.env.XDG_CACHE_HOME = cache;
// clang takes a quarter of gcc's time for portable code.
const compiler = isInstalled(toolchains.clang.compiler) ? { CC: toolchains.clang.compiler } : {};

/** What `lfmc bench` of an artefact printed. */
async function bench(artefact: string, ...flags: readonly string[]): Promise<string> {
  const args = ["bench", artefact, "--prompt", "8", "--decode", "4", ...flags];
  const { status, stdout, stderr } = await lfmc(args, { environment: { XDG_CACHE_HOME: cache, ...compiler } });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout;
}

test("native kernels work on one memory, one call after the other or at once", async () => {
  const target = await loadTarget("c");
  const kernel = streamRead(1);
  const variant = required(target.variants[0], "variant");
  const steps = 8;
  const { memory, base, functions } = await instantiateKernels(target, variant, [kernel], (steps + 2) * streamStepBytes);
  const read = required(functions.get(kernel.name), kernel.name);
  expect(base % 64).toBe(0);
  memory.fill(0);
  memory[3] = 5;
  memory[streamStepBytes + 3] = 8;
  memory[steps * streamStepBytes - 1] = 7;
  const end = steps * streamStepBytes;
  read.call([base, base + end, steps]);
  expect([...memory.subarray(end, end + 64)]).toEqual(Array.from({ length: 64 }, (_, i) => (i === 3 ? 13 : i === 63 ? 7 : 0)));
  const half = (steps / 2) * streamStepBytes;
  memory.fill(0, end);
  await read.together?.([
    [base, base + end, steps / 2],
    [base + half, base + end + streamStepBytes, steps / 2],
  ]);
  expect([memory[end + 3], memory[end + 63], memory[end + streamStepBytes + 3], memory[end + streamStepBytes + 63]]).toEqual([13, 0, 0, 7]);
});

test("an artefact gives one record for each number of threads, which names compiler and variant", async () => {
  const artefact = join(folder, "fake");
  writeFakeArtefact(artefact);
  const parsed: unknown = JSON.parse(await bench(artefact, "--threads", "1,2", "--json"));
  const records = (parsed as readonly unknown[]).map(record);
  // The fake unit waits twice in a call, which begins and ends at a barrier.
  expect(records.map(({ threads, variant, barriersPerToken }) => [threads, variant, barriersPerToken])).toEqual([
    [1, "scalar", 0],
    [2, "scalar", 4],
  ]);
  expect(records.map(({ barrierSeconds }) => Number(barrierSeconds) > 0)).toEqual([false, true]);
  for (const { engine, readBandwidth, decodeTokensPerSecond } of records) {
    expect(engine).toMatch(/^(gcc|clang) \S+, C scalar, Node \d/);
    expect(Number(readBandwidth)).toBeGreaterThan(1e8);
    expect(Number(decodeTokensPerSecond)).toBeGreaterThan(0);
  }
});

test("the table says what barriers cost, in C alone", async () => {
  const artefact = join(folder, "told");
  writeFakeArtefact(artefact);
  const text = await bench(artefact, "--threads", "2");
  expect(text).toMatch(/read GB\/s +barriers$/m);
  expect(text).toMatch(/^ +2 +scalar .* \d+\.\d\d %$/m);
  expect(text).toContain("barriers: what");
});

test("a unit tells how often its threads wait in a call", async () => {
  const target = await loadTarget("c");
  const variant = required(target.variants[0], "variant");
  const { program } = required(plansWith(target, variant, "n2x640")[0], "plan");
  const { text } = target.emit(program, variant, { memoryBytes: program.memory.bytes, text: true, name: "demo" });
  const waits = text.match(/lfm_demo_wait\(call\);/g)?.length;
  expect(waits).toBe(program.steps.length - 1);
  expect(text).toMatch(new RegExp(`"scalar", forward, self_test, ${waits}\n`));
});

test("portable code runs everywhere, and no processor is of two kinds", () => {
  expect(runsVariant("scalar")).toBe(true);
  expect(runsVariant("neon") && runsVariant("avx2")).toBe(false);
  expect(runsVariant("mips-dsp")).toBe(false);
});
