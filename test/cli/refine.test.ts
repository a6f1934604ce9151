/** `--calibrate` and `--budget`: artefact and interpreter round alike, sizes are what was asked for, and what cannot be is refused. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { caseFolder, readGolden } from "../golden/read.ts";
import { workFolder } from "../model/support.ts";
import { json, lfmc, record } from "./support.ts";

const folder = await workFolder();
const model = caseFolder("dense-tiny");
const tokens = join(folder, "tokens.json");
const text = join(folder, "text.txt");

beforeAll(async () => {
  const { ids } = readGolden("dense-tiny");
  await writeFile(tokens, JSON.stringify(ids));
  await writeFile(text, "It is a truth universally acknowledged");
});

/** What a command printed that did its work; it may warn, of few tokens among others. */
async function printed(args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await lfmc(args);
  expect(status, stderr).toBe(0);
  return stdout;
}

async function logits(name: string, ...args: readonly string[]): Promise<Buffer> {
  const path = join(folder, `${name}.safetensors`);
  await printed(["forward", ...args, "--tokens", tokens, "-o", path]);
  return await readFile(path);
}

/** Formats of an artefact's matrices. */
function formatsOf(manifest: Readonly<Record<string, unknown>>): ReadonlySet<unknown> {
  const tensors = Array.isArray(manifest.tensors) ? manifest.tensors.map(record) : [];
  return new Set(tensors.map(({ encoding }) => encoding).filter((encoding) => encoding !== "f32"));
}

test.each([
  { name: "dense, calibrated", path: model, flags: ["--calibrate", tokens] },
  { name: "dense, within a budget", path: model, flags: ["--budget", "5", "--calibrate", tokens] },
])("$name: the artefact has the interpreter's bits, which are not those of plain rounding", async ({ name, path, flags }) => {
  const artefact = join(folder, name.replace(/\W+/g, "-"));
  const notes = record(JSON.parse(await printed(["compile", path, "-o", artefact, "--features", "simd128", "--json", ...flags])));
  const [compiled, interpreted, plain] = [
    await logits("compiled", artefact),
    await logits("interpreted", path, ...flags),
    await logits("plain", path),
  ];
  expect(compiled.equals(interpreted)).toBe(true);
  expect(compiled.equals(plain)).toBe(false);
  const manifest = await json(["inspect", artefact]);
  const hasBudget = flags.includes("--budget");
  expect(formatsOf(manifest).size > 1).toBe(hasBudget);
  const formats = [...formatsOf(manifest)].map(String).toSorted().join(", ");
  expect(record(manifest.quantization).weights).toBe(hasBudget ? `5 bits (${formats}), calibrated` : "q4_0, calibrated");
  expect(JSON.stringify(notes.notes).includes("bits a weight")).toBe(hasBudget);
});

test("a file that holds groups, and floats, leave a calibration nothing to do, which is told", async () => {
  for (const [path, flags] of [
    [join(model, "model.Q4_0.gguf"), []],
    [model, ["--quant", "f16"]],
  ] as const) {
    const artefact = join(folder, "nothing");
    const { status, stderr } = await lfmc(["compile", path, "-o", artefact, "--features", "simd128", "--calibrate", tokens, ...flags]);
    expect(status).toBe(0);
    expect(stderr).toContain("nothing was calibrated");
    expect(record((await json(["inspect", artefact])).quantization).weights).not.toContain("calibrated");
  }
});

test("a budget leaves out what --tensor-type names", async () => {
  const artefact = join(folder, "named");
  const embedding = "model.embed_tokens.weight";
  await printed([
    "compile",
    model,
    "-o",
    artefact,
    "--features",
    "simd128",
    "--budget",
    "3.5",
    "--calibrate",
    tokens,
    "--tensor-type",
    `${embedding}=q8_0`,
  ]);
  const manifest = await json(["inspect", artefact]);
  expect(formatsOf(manifest)).toEqual(new Set(["q8_0", "q3_0"]));
});

test.each([
  { flags: ["--budget", "2"], status: 2, code: "usage/flag", says: "smallest formats" },
  { flags: ["--budget", "9"], status: 2, code: "usage/flag", says: "largest format" },
  { flags: ["--budget", "4.5", "--quant", "q8_0"], status: 2, code: "usage/flag", says: "--quant" },
  { flags: ["--budget", "-1"], status: 2, code: "", says: "expected a number" },
  { flags: ["--calibrate", "/nowhere/text.txt"], status: 1, code: "io/missing", says: "cannot be read" },
  { flags: ["--calibrate", text], status: 1, code: "run/input", says: "no tokenizer" },
])("$flags is refused", async ({ flags, status, code, says }) => {
  const finished = await lfmc(["compile", model, "-o", join(folder, "refused"), ...flags]);
  expect(finished).toMatchObject({ status, stdout: "" });
  expect(finished.stderr).toContain(code);
  expect(finished.stderr).toContain(says);
});

test("token ids that the model has not are refused", async () => {
  const outside = join(folder, "outside.json");
  await writeFile(outside, "[1, 99999]");
  const { status, stderr } = await lfmc(["forward", model, "--tokens", tokens, "--calibrate", outside, "-o", join(folder, "none")]);
  expect(status).toBe(1);
  expect(stderr).toContain("holds token 99999");
});
