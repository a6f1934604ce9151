/**
 * The C library's sampler against the runtime's, which defines it: the same token for every setting and every kind of logits, and the same settings
 * refused. The cases go through one program, which a compiler makes of the library as it stands, with sanitizers or for another machine.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { exp } from "../../runtime/exp.ts";
import { argmax, createSampler, type SamplingSettings } from "../../runtime/sampler.ts";
import { withPrefix } from "../../targets/c/project.ts";
import { workFolder } from "../model/support.ts";
import { fakeManifest } from "../runtime/support.ts";
import { execute, needs, writeProject } from "./library/project.ts";

interface Case {
  readonly settings: SamplingSettings;
  readonly tokens: readonly number[];
  readonly logits: Float32Array;
}

const context = 24;
const folder = await workFolder();
const statusArgument = 8;
const statusLogits = 17;
const likeliest: SamplingSettings = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 0 };

/** Around powers of two and ten, equal ones, zeros of both signs, subnormals, and tokens that may not come. */
function logitsOf(vocabulary: number): fc.Arbitrary<Float32Array> {
  const near = fc.float({ min: -30, max: 30, noNaN: true });
  const odd = fc.constantFrom(0, -0, 1, -1, 2.5, -Infinity, 1e-40, -1e-40);
  const far = fc.constantFrom(3e38, -3e38, 80);
  const kinds = [near, fc.oneof(near, odd), fc.oneof({ weight: 9, arbitrary: fc.constantFrom(1, 2, 3) }, far), odd];
  return fc
    .oneof(...kinds.map((value) => fc.array(value, { minLength: vocabulary, maxLength: vocabulary, size: "max" })))
    .map((values) => Float32Array.from(values));
}

function settingsOf(vocabulary: number): fc.Arbitrary<SamplingSettings> {
  const share = fc.oneof(fc.constantFrom(0, 1, 0.5, 1e-60), fc.double({ min: 0, max: 1, noNaN: true }));
  return fc.record({
    temperature: fc.oneof(fc.constantFrom(0, 1e-60, 1, 1e300), fc.double({ min: 1e-3, max: 5, noNaN: true })),
    topK: fc.oneof(fc.constantFrom(0, 1, 128, 129, vocabulary, vocabulary + 1, 2 ** 31 - 1), fc.nat(vocabulary)),
    topP: share,
    minP: share,
    repetitionPenalty: fc.oneof(fc.constantFrom(1, 1e-30, 1e30), fc.double({ min: 0.1, max: 3, noNaN: true })),
    seed: fc.maxSafeNat(),
  });
}

function caseOf(vocabulary: number): fc.Arbitrary<Case> {
  const tokens = fc.array(fc.nat(vocabulary - 1), { maxLength: context });
  return fc.record({ settings: settingsOf(vocabulary), tokens, logits: logitsOf(vocabulary) });
}

/** What the program is to print of a case: status and token. */
function expected({ settings, tokens, logits }: Case): readonly number[] {
  try {
    return [0, createSampler(settings)(logits, tokens)];
  } catch {
    return [statusLogits, -1];
  }
}

/** A case as sample.c reads it. */
function bytesOfCase({ settings, tokens, logits }: Case): Uint8Array {
  const view = new DataView(new ArrayBuffer(52 + 4 * context + 4 * logits.length));
  const { temperature, topP, minP, repetitionPenalty, seed, topK } = settings;
  for (const [i, value] of [temperature, topP, minP, repetitionPenalty].entries()) view.setFloat64(8 * i, value, true);
  view.setBigUint64(32, BigInt(seed), true);
  const best = logits.some((logit) => logit > -Infinity) ? argmax(logits) : -1;
  for (const [i, value] of [topK, best, tokens.length, ...tokens].entries()) view.setInt32(40 + 4 * i, value, true);
  for (const [i, value] of logits.entries()) view.setFloat32(52 + 4 * context + 4 * i, value, true);
  return new Uint8Array(view.buffer);
}

/** What the built program prints, given a file of these bytes, as the numbers of each line. */
type Program = (input: Uint8Array, ...args: readonly string[]) => readonly (readonly number[])[];

/** Compiles the program for a vocabulary. */
function build(vocabulary: number, { compiler, flags, runner }: Toolchain): Program {
  const place = join(folder, `${compiler}-${vocabulary}`);
  writeProject(place, fakeManifest({ vocabSize: vocabulary, context }));
  const source = readFileSync(new URL("library/sample.c", import.meta.url), "utf8");
  writeFileSync(join(place, "sample.c"), withPrefix(source, "fake"));
  const units = ["", "_session", "_platform", "_threads", "_weights", "_scalar"].map((part) => `fake${part}.c`);
  const strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", ...flags];
  const compiled = execute(compiler, [...strict, "-I.", "sample.c", ...units, "-lm", "-lpthread", "-o", "sample"], place);
  expect(compiled).toEqual({ status: 0, stdout: "", stderr: "" });
  return (input, ...more) => {
    const path = join(place, "input.bin");
    writeFileSync(path, input);
    const [program = "", ...args] = [...runner, join(place, "sample"), path, ...more];
    const { status, stdout, stderr } = execute(program, args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    return stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.split(" ").map(Number));
  };
}

interface Toolchain {
  readonly compiler: string;
  readonly flags: readonly string[];
  readonly runner: readonly string[];
}

const careful = ["-g", "-O1", "-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"];
const gcc: Toolchain = { compiler: "gcc", flags: careful, runner: [] };
const arm: Toolchain = { compiler: "aarch64-linux-gnu-gcc", flags: ["-O2"], runner: ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"] };

/** The bits of a binary32 number. */
function bitsOf(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0] ?? NaN;
}

// Few candidates are ranked one by one, more than 128 by their digits.
test.for([
  { vocabulary: 200, ...gcc },
  { vocabulary: 200, ...arm },
])("$vocabulary tokens, $compiler: the runtime's choice", ({ vocabulary, ...toolchain }, context) => {
  needs(context, toolchain.compiler, ...toolchain.runner.slice(0, 1));
  const program = build(vocabulary, toolchain);
  const cases = fc.sample(caseOf(vocabulary), { numRuns: 250, seed: 12 });
  const found = program(Buffer.concat(cases.map(bytesOfCase)));
  expect(found).toHaveLength(cases.length);
  const failed = cases.find((each, i) => expected(each).join() !== found[i]?.join());
  expect(failed && { ...failed, expected: expected(failed), found: found[cases.indexOf(failed)] }).toBeUndefined();
  const numbers = Float32Array.from({ length: 8000 }, (_, i) => (i * 194) / 8000 - 105);
  const exponentials = program(new Uint8Array(numbers.buffer), "exp");
  expect(exponentials).toEqual([...numbers].map((x) => [bitsOf(exp(x))]));
});

test("settings that the runtime refuses are refused", (context) => {
  needs(context, "gcc");
  const outside: readonly Partial<SamplingSettings>[] = [
    { temperature: -1 },
    { temperature: NaN },
    { temperature: Infinity },
    { topP: 1.01 },
    { topP: -0.1 },
    { minP: 2 },
    { minP: NaN },
    { repetitionPenalty: 0 },
    { repetitionPenalty: Infinity },
    { topK: -1 },
    { seed: 2 ** 53 },
  ];
  const cases = outside.map((wish) => ({ settings: { ...likeliest, ...wish }, tokens: [1], logits: new Float32Array(33).fill(1) }));
  for (const { settings } of cases) expect(() => createSampler(settings)).toThrow();
  const program = build(33, { ...gcc, flags: [] });
  expect(program(Buffer.concat(cases.map(bytesOfCase)))).toEqual(cases.map(() => [statusArgument, -1]));
});
