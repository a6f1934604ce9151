/** `lfmc perplexity`: a text's perplexity, and how near an artefact comes to another one and to the model in f32. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { caseFolder } from "../golden/read.ts";
import { demoFolder, workFolder } from "../model/support.ts";
import { compileModel, json, lfmc, oneModule, output } from "./support.ts";

const folder = await workFolder();
const text = join(folder, "text.txt");
const [q4, f32, short] = [join(folder, "q4"), join(folder, "f32"), join(folder, "short")];

beforeAll(async () => {
  await writeFile(
    text,
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife.",
  );
  await Promise.all([
    compileModel(q4),
    output(["compile", demoFolder, "--quant", "f32", ...oneModule, "-o", f32]),
    output(["compile", demoFolder, "--context", "8", "-o", short]),
  ]);
});

/** The record of a run over the text, whose keys are always the same four. */
async function measured(...args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const found = await json(["perplexity", ...args, "--text", text]);
  expect(Object.keys(found)).toEqual(["tokens", "perplexity", "kl", "top1"]);
  return found;
}

test("scores every token of the text, and compares with nothing unasked", async () => {
  const found = await measured(f32);
  // `lfmc run` reads BOS before these.
  const { promptTokens } = await json(["run", f32, "--prompt", await readFile(text, "utf8"), "--max-tokens", "1"]);
  expect(found).toMatchObject({ tokens: Number(promptTokens) - 1, kl: null, top1: null });
  expect(found.perplexity).toBeGreaterThan(1);
  expect(found.perplexity).toBeLessThan(100);
});

test("is 0 and 1 against itself", async () => {
  expect(await measured(q4, "--against", q4)).toMatchObject({ kl: 0, top1: 1 });
});

test("4 bits lose a little, against the artefact with f32 as against the model", async () => {
  const [artefact, model, same] = await Promise.all([
    measured(q4, "--against", f32),
    measured(q4, "--against", demoFolder),
    measured(f32, "--against", demoFolder),
  ]);
  expect(artefact.kl).toBeGreaterThan(1e-3);
  expect(artefact.kl).toBeLessThan(0.1);
  expect(artefact.top1).toBeGreaterThan(0.7);
  expect(model.kl).toBeCloseTo(Number(artefact.kl), 6);
  expect(model.top1).toBe(artefact.top1);
  // The f32 artefact and the reference interpreter differ by rounding.
  expect(same.kl).toBeLessThan(1e-8);
  expect(same.top1).toBe(1);
});

test("reads windows of the smaller context", async () => {
  const [one, other, whole] = await Promise.all([measured(short), measured(q4, "--against", short), measured(q4)]);
  expect(other).toMatchObject({ tokens: whole.tokens, perplexity: one.perplexity, kl: 0, top1: 1 });
  expect(one.perplexity).toBeGreaterThan(Number(whole.perplexity));
});

test("--limit scores the beginning", async () => {
  expect(await measured(q4, "--limit", "5")).toMatchObject({ tokens: 5 });
});

test("neither threads nor variant change a number", async () => {
  const [one, ...more] = await Promise.all([
    measured(q4, "--limit", "20", "--against", short),
    ...[
      ["--threads", "2"],
      ["--variant", "simd128"],
      ["--threads", "2", "--variant", "simd128"],
    ].map((flags) => measured(q4, "--limit", "20", "--against", short, ...flags)),
  ]);
  expect(more).toEqual([one, one, one]);
});

test("prints lines for people", async () => {
  const alone = await output(["perplexity", q4, "--text", text, "--limit", "5"]);
  expect(alone).toMatch(/^tokens +5\nperplexity +\d+\.\d{3}\n$/);
  const compared = await output(["perplexity", q4, "--text", text, "--limit", "5", "--against", q4]);
  expect(compared.slice(alone.length)).toMatch(/^KL +0\.00 nats\nsame top +100\.00 %\n$/);
});

describe("refused", () => {
  const bytes = join(folder, "bytes.txt");
  const empty = join(folder, "empty.txt");
  const [silent, single] = [join(folder, "silent"), join(folder, "single")];

  beforeAll(async () => {
    await writeFile(bytes, Uint8Array.of(0x61, 0xff));
    await writeFile(empty, "");
    await compileModel(silent, caseFolder("dense-tiny"), oneModule);
    await output(["compile", demoFolder, "--context", "1", ...oneModule, "-o", single]);
  });

  test.each<readonly [string, args: readonly string[], message: RegExp]>([
    ["an artefact without tokenizer", [silent, "--text", text], /dense-tiny: has no tokenizer/],
    ["no text file", [q4, "--text", join(folder, "absent.txt")], /cannot be read/],
    ["an empty text", [q4, "--text", empty], /empty\.txt: holds no token/],
    ["bytes that are no text", [q4, "--text", bytes], /not UTF-8/],
    ["a model in the artefact's place", [demoFolder, "--text", text], /not an artefact/],
    ["a context of one position", [single, "--text", text], /leaves nothing to predict/],
    ["a reference with another vocabulary", [q4, "--text", text, "--against", silent], /--against: has a vocabulary of 256, .* 4096/],
    ["a model with another vocabulary", [q4, "--text", text, "--against", caseFolder("dense-odd")], /--against: has a vocabulary of 331/],
    ["no such variant", [q4, "--text", text, "--variant", "avx2"], /"avx2" is not in the artefact/],
    ["so many threads", [q4, "--text", text, "--threads", "65"], /65 is not a number of threads/],
    ["no reference", [q4, "--text", text, "--against", join(folder, "absent")], /does not exist/],
  ])("%s", async (_, args, message) => {
    const { status, stdout, stderr } = await lfmc(["perplexity", ...args]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^hint: /m);
    expect(stderr).not.toContain("fault of lfmc");
  });

  test.each<readonly [args: readonly string[], message: RegExp]>([
    [[q4], /--text/],
    [[q4, "--text", text, "--limit", "0"], /--limit.*whole number/],
    [[q4, "--text", text, "--threads", "0"], /--threads.*whole number/],
  ])("usage: %j", async (args, message) => {
    const { status, stderr } = await lfmc(["perplexity", ...args]);
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
  });
});
