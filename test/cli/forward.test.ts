/** `lfmc forward`: the logits of a list of tokens, from an artefact and from a model; the same bits of file. */
import { copyFile, lstat, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { caseFolder, largestDifference, readGolden, readSafetensors } from "../golden/read.ts";
import { demoFolder, workFolder } from "../model/support.ts";
import { compileModel, lfmc, output } from "./support.ts";

const folder = await workFolder();
const tokens = join(folder, "tokens.json");
const { ids, tensors } = readGolden("dense-odd");
const model = caseFolder("dense-odd");
const artefact = join(folder, "odd");

beforeAll(async () => {
  await writeFile(tokens, JSON.stringify(ids));
  await compileModel(artefact, model);
});

/** The file that a run writes; the command prints nothing. */
async function written(name: string, ...args: readonly string[]): Promise<string> {
  const path = join(folder, `${name}.safetensors`);
  expect(await output(["forward", ...args, "-o", path])).toBe("");
  return path;
}

test("writes the tensor logits, f32 [tokens, vocabulary]", async () => {
  const found = readSafetensors(await written("shape", artefact, "--tokens", tokens));
  expect([...found.keys()]).toEqual(["logits"]);
  expect(found.get("logits")?.shape).toEqual([ids.length, 331]);
  expect(found.get("logits")?.data).toBeInstanceOf(Float32Array);
});

test("artefact and model give the same file, byte for byte, for any chunk", async () => {
  const [expected, ...others] = await Promise.all([
    written("artefact", artefact, "--tokens", tokens),
    written("chunk-1", artefact, "--tokens", tokens, "--chunk", "1"),
    written("chunk-5", artefact, "--tokens", tokens, "--chunk", "5"),
    written("chunk-1000", artefact, "--tokens", tokens, "--chunk", "1000"),
    written("model", model, "--tokens", tokens, "--quant", "q4_0"),
    written("model-3", model, "--tokens", tokens, "--chunk", "3"),
  ]);
  const bytes = await readFile(expected);
  expect(bytes.length).toBeGreaterThan(ids.length * 331 * 4);
  for (const other of others) expect((await readFile(other)).equals(bytes), other).toBe(true);
});

test("--quant f32 is within 1e-3 of the reference, compiled and interpreted", async () => {
  const whole = join(folder, "f32");
  await output(["compile", model, "--quant", "f32", "-o", whole]);
  const files = [
    await written("f32-artefact", whole, "--tokens", tokens),
    await written("f32-model", model, "--quant", "f32", "--tokens", tokens),
  ];
  const expected = tensors.get("logits")?.data ?? [];
  for (const file of files) expect(largestDifference(readSafetensors(file).get("logits")?.data ?? [], expected)).toBeLessThanOrEqual(1e-3);
});

test("a link is written through, and a device into, never replaced", async () => {
  const [real, link] = [join(folder, "real.safetensors"), join(folder, "link.safetensors")];
  await writeFile(real, "");
  await symlink(real, link);
  await output(["forward", artefact, "--tokens", tokens, "-o", link]);
  expect((await lstat(link)).isSymbolicLink()).toBe(true);
  expect((await readFile(real)).equals(await readFile(await written("no-link", artefact, "--tokens", tokens)))).toBe(true);
  await output(["forward", artefact, "--tokens", tokens, "-o", "/dev/null"]);
  expect((await lstat("/dev/null")).isCharacterDevice()).toBe(true);
});

test("the demo model gives the same file compiled and interpreted", async () => {
  const demo = await compileModel(join(folder, "demo"));
  const list = join(folder, "demo.json");
  await writeFile(list, JSON.stringify([1, 329, 372, 322, 266, 1441, 289, 575]));
  const compiled = await readFile(await written("demo-compiled", demo, "--tokens", list));
  expect((await readFile(await written("demo-interpreted", demoFolder, "--tokens", list))).equals(compiled)).toBe(true);
});

test("a mixture of experts runs in the interpreter", async () => {
  const golden = readGolden("moe-tiny");
  const list = join(folder, "moe.json");
  await writeFile(list, JSON.stringify(golden.ids));
  const found = readSafetensors(await written("moe", caseFolder("moe-tiny"), "--quant", "f32", "--tokens", list));
  expect(largestDifference(found.get("logits")?.data ?? [], golden.tensors.get("logits")?.data ?? [])).toBeLessThanOrEqual(1e-3);
});

test("a shape alone takes --random-weights", async () => {
  await mkdir(join(folder, "shape"));
  const shape = join(folder, "shape", "config.json");
  await copyFile(join(model, "config.json"), shape);
  const refused = await lfmc(["forward", shape, "--tokens", tokens, "-o", join(folder, "none.safetensors")]);
  expect(refused.status).toBe(1);
  expect(refused.stderr).toContain("--random-weights");
  const [first, again, other] = await Promise.all(
    ["3", "3", "4"].map((seed, i) => written(`random-${i}`, shape, "--tokens", tokens, "--random-weights", seed)),
  );
  const bytes = await readFile(first ?? "");
  expect((await readFile(again ?? "")).equals(bytes)).toBe(true);
  expect((await readFile(other ?? "")).equals(bytes)).toBe(false);
});

describe("refused, with no file written", () => {
  test.each<readonly [string, content: string | null, message: RegExp]>([
    ["no list", null, /cannot be read/],
    ["text that is not JSON", "1, 2", /not JSON/],
    ["an empty list", "[]", /not a list of token ids/],
    ["an object", '{"tokens":[1]}', /not a list of token ids/],
    ["a fraction", "[1.5]", /not a list of token ids/],
    ["an id beyond the vocabulary", "[1,331]", /331/],
  ])("%s", async (name, content, message) => {
    const list = join(folder, "bad.json");
    if (content !== null) await writeFile(list, content);
    const before = await readdir(folder);
    const { status, stdout, stderr } = await lfmc([
      "forward",
      artefact,
      "--tokens",
      content === null ? `${list}.absent` : list,
      "-o",
      join(folder, `${name}.out`),
    ]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain("fault of lfmc");
    expect(await readdir(folder)).toEqual(before);
  });

  test("an output that is a folder", async () => {
    const before = await readdir(folder);
    const { status, stderr } = await lfmc(["forward", artefact, "--tokens", tokens, "-o", artefact]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/cannot be written/);
    expect(await readdir(folder)).toEqual(before);
  });
});
