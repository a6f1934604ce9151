/** `lfmc bench`: the records' fields and that their figures are possible; how fast anything is, no test says. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { workFolder } from "../model/support.ts";
import { compileModel, lfmc, output, record } from "./support.ts";

const folder = await workFolder();
const demo = join(folder, "demo");
const small = ["--prompt", "8", "--decode", "4"];

beforeAll(async () => {
  await compileModel(demo);
});

/** The records that a successful `lfmc bench … --json` printed. */
async function records(args: readonly string[]): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const parsed: unknown = JSON.parse(await output(["bench", ...args, "--json"]));
  if (!Array.isArray(parsed)) throw new Error("no array");
  return parsed.map(record);
}

function positiveNumbers(fields: Readonly<Record<string, unknown>>, names: readonly string[]): void {
  for (const name of names) {
    expect(fields[name], name).toBeTypeOf("number");
    expect(Number(fields[name]), name).toBeGreaterThan(0);
    expect(Number(fields[name]), name).toBeLessThan(Infinity);
  }
}

const speeds = ["prefillTokensPerSecond", "decodeTokensPerSecond", "firstTokenSeconds"];
const memory = ["peakBytes", "bytesPerToken", "readBandwidth"];
const ratios = ["roofRatio", "prefillRoofRatio"];

test("an artefact gives one record a depth, with exactly these fields; two threads run in the threaded module, beside roofs of two threads", async () => {
  const found = await records([demo, ...small, "--depth", "0,100", "--variant", "simd128", "--threads", "2"]);
  expect(found.map(({ depth }) => depth)).toEqual([0, 100]);
  for (const fields of found) {
    expect(Object.keys(fields)).toEqual(["threads", "variant", "depth", ...speeds, ...memory, ...ratios, "engine", "cpu"]);
    expect(fields).toMatchObject({ threads: 2, variant: "simd128" });
    expect(fields.engine).toContain(process.versions.v8);
    positiveNumbers(fields, [...speeds, ...memory, ...ratios]);
    for (const ratio of ratios) expect(Number(fields[ratio]), ratio).toBeLessThan(1.5);
  }
  const [near = {}, far = {}] = found;
  // 100 positions more of 3 layers with 2 heads of 64, keys and values, f16.
  expect(Number(far.bytesPerToken) - Number(near.bytesPerToken)).toBe(100 * 3 * 2 * 64 * 2 * 2);
  expect(Number(near.roofRatio)).toBeCloseTo(
    (Number(near.decodeTokensPerSecond) * Number(near.bytesPerToken)) / Number(near.readBandwidth),
    9,
  );
});

test("without --json it prints a table that names the engine", async () => {
  const text = await output(["bench", demo, ...small]);
  expect(text).toContain(`V8 ${process.versions.v8}`);
  expect(text).toMatch(/decode tok\/s/);
  expect(text).toMatch(/^ *1 +\w+ +0 /m);
  expect(text).toContain("resident set");
});

test("--kernels measures the kernels that the pattern names, for one row and for many, and plots them", async () => {
  const svg = join(folder, "roofline.svg");
  const found = await records(["--kernels", "4p_n2x640", "--variant", "simd128", "--svg", svg]);
  expect(found.map(({ shape }) => /^(.*), rows (\d+)/.exec(String(shape))?.slice(1, 3))).toEqual([
    ["demo-model q4_0", "1"],
    ["demo-model q4_0", "64"],
  ]);
  for (const fields of found) {
    const figures = ["seconds", "bytes", "macs", "gbPerSecond", "gmacPerSecond", "roofRatio"];
    expect(Object.keys(fields)).toEqual(["kernel", "target", "variant", "shape", ...figures]);
    expect(fields).toMatchObject({ target: "wasm-simd", variant: "simd128" });
    expect(fields.kernel).toContain("n2x640");
    positiveNumbers(fields, figures);
    expect(await readFile(svg, "utf8")).toContain(String(fields.kernel));
  }
});

describe("is refused", () => {
  test.each<readonly [args: readonly string[], status: number, message: RegExp]>([
    [[], 2, /<artefact>, --kernels/],
    [[demo, "--kernels"], 2, /<artefact>, --kernels/],
    [["--kernels", "no such kernel"], 2, /no such kernel/],
    [["--kernels", "--variant", "avx2"], 1, /no variant "avx2".*\n.*simd128/],
    [[demo, "--svg", join(folder, "none.svg")], 2, /--svg/],
    [[demo, "--variant", "avx2"], 1, /"avx2" is not in the artefact/],
    [[demo, "--prompt", "0"], 2, /--prompt/],
    [[demo, "--depth", "4000", "--prompt", "200"], 1, /4200 positions/],
    [[demo, "--threads", "65"], 1, /65 is not a number of threads/],
    [[folder], 1, /not an artefact/],
  ])("bench %j", async (args, status, message) => {
    const finished = await lfmc(["bench", ...args]);
    expect({ status: finished.status, stdout: finished.stdout }).toEqual({ status, stdout: "" });
    expect(finished.stderr).toMatch(message);
  });
});
