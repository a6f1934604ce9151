/** Kernels of C targets in a program that times them: built and run for each of a plan's steps, here or under an emulator. */
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { measurePlan, plansWith, type KernelFigure } from "../../compiler/bench/kernels.ts";
import { programRoofs } from "../../compiler/bench/program-roofs.ts";
import { benchShapes } from "../../compiler/bench/shapes.ts";
import { parseTimes } from "../../compiler/bench/step-timer.ts";
import { required } from "../../compiler/errors.ts";
import { runsVariant } from "../../compiler/native/processor.ts";
import { loadTarget, type TargetName } from "../../compiler/targets.ts";
import { isInstalled, obstacle, toolchains, units } from "../bits/toolchains.ts";
import { lfmc, record } from "../cli/support.ts";
import { root } from "../model/support.ts";

// A compiler takes its time: what it made outlives the tests.
const cache = join(root, "node_modules", ".cache");
process.env.XDG_CACHE_HOME = cache;
// gcc takes four times as long as clang for portable code.
if (isInstalled(toolchains.clang.compiler)) process.env.CC = toolchains.clang.compiler;
const environment = { CC: process.env.CC, LFMC_RUNNER: process.env.LFMC_RUNNER };

afterEach(() => {
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined) Reflect.deleteProperty(process.env, name);
    else process.env[name] = value;
  }
});

const small = benchShapes
  .filter(({ model }) => model.name === "demo-model")
  .map(({ model }) => ({ model, quants: ["q4_0"] as const, rows: [1, 3] }));
/** Whether there are figures is the question here, not how good they are. */
const brief = { least: 1, most: 3, seconds: 0 };
const roofs = { readBandwidth: 1e10, dotRate: 1e11, floatRate: 1e10 };

/** The small plan of a variant. */
async function planOf(targetName: TargetName, variantName: string) {
  const target = await loadTarget(targetName);
  const variant = required(
    target.variants.find(({ name }) => name === variantName),
    variantName,
  );
  return { target, variant, planned: required(plansWith(target, variant, "", small)[0], "plan") };
}

/** One possible figure for each kernel and each count of rows. */
function covers(figures: readonly KernelFigure[], kernels: readonly { readonly name: string }[]): void {
  const names = kernels.map(({ name }) => name);
  expect(figures.map(({ rows, record: { kernel } }) => [rows, kernel])).toEqual(
    [1, 3].flatMap((rows) => names.map((name) => [rows, name])),
  );
  for (const {
    record: { kernel, seconds },
  } of figures) {
    expect(seconds, kernel).toBeGreaterThan(0);
    expect(seconds, kernel).toBeLessThan(10);
  }
}

describe("every kernel of a plan has its figure", () => {
  test.for(["scalar", "avx2"])("c-x86 %s", async (name, context) => {
    if (!runsVariant(name)) context.skip(`this processor does not run ${name}`);
    if (name === "avx2" && isInstalled(toolchains.gcc.compiler)) process.env.CC = toolchains.gcc.compiler;
    const { target, planned } = await planOf("c-x86", name);
    const figures = await measurePlan(target, planned, roofs, "", brief);
    covers(figures, planned.program.kernels);
    const shares = [1, 3].map((rows) => figures.filter((each) => each.rows === rows).reduce((sum, { share }) => sum + share, 0));
    for (const share of shares) expect(share).toBeCloseTo(1, 6);
  });

  test("c-arm, emulated", async (context) => {
    const unit = required(
      units.find(({ variant }) => variant === "neon-i8mm"),
      "unit",
    );
    const absent = obstacle(unit, toolchains.armGcc);
    if (absent !== null) context.skip(absent);
    process.env.CC = toolchains.armGcc.compiler;
    process.env.LFMC_RUNNER = toolchains.armGcc.runner(unit.cpu).join(" ");
    const { target, planned } = await planOf("c-arm", unit.variant);
    covers(await measurePlan(target, planned, roofs, "", brief), planned.program.kernels);
  });
});

test("a call of many rows is no call of one", async () => {
  const { target, planned } = await planOf("c", "scalar");
  const figures = await measurePlan(target, { ...planned, rows: [1, 64] }, roofs, "n2x640", { ...brief, least: 3 });
  const [one = 0, many = 0] = figures.map(({ record: { seconds } }) => seconds);
  expect(figures).toHaveLength(2);
  expect(many).toBeGreaterThan(4 * one);
});

test("roofs are possible", async () => {
  const found = await programRoofs(await planOf("c", "scalar"), brief);
  expect(found.readBandwidth).toBeGreaterThan(1e8);
  expect(found.readBandwidth).toBeLessThan(1e12);
  for (const rate of [found.dotRate, found.floatRate]) {
    expect(rate).toBeGreaterThan(1e7);
    expect(rate).toBeLessThan(1e13);
  }
});

test("the command prints the fields that it prints of modules", async () => {
  const { CC = "" } = environment;
  const { status, stdout, stderr } = await lfmc(["bench", "--kernels", "n2x640", "--target", "c", "--json"], {
    environment: { XDG_CACHE_HOME: cache, CC },
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const parsed: unknown = JSON.parse(stdout);
  const records = (parsed as readonly unknown[]).map(record);
  expect(records).toHaveLength(4);
  for (const fields of records) {
    const figures = ["seconds", "bytes", "macs", "gbPerSecond", "gmacPerSecond", "roofRatio"];
    expect(Object.keys(fields)).toEqual(["kernel", "target", "variant", "shape", ...figures]);
    expect(fields).toMatchObject({ target: "c", variant: "scalar" });
  }
});

test("code for another machine is refused with the way out", async () => {
  const { status, stderr } = await lfmc(["bench", "--kernels", "n2x640", "--target", process.arch === "arm64" ? "c-x86" : "c-arm"]);
  expect(status).toBe(1);
  expect(stderr).toMatch(/this machine runs/);
});

describe("times of other steps are refused:", () => {
  const steps = ["a", "b", "a"].map((kernel) => ({ kernel, label: kernel, arguments: [], units: null }));
  const times = steps.map(({ kernel, label }) => ({ kernel, label, least: 1, median: 2 }));

  test("all of them are taken", () => {
    expect(parseTimes(JSON.stringify(times), { steps }, "program")).toEqual(times);
  });

  test.each([
    ["one too few", times.slice(1)],
    ["one too many", [...times, ...times.slice(0, 1)]],
    ["another order", times.toReversed().slice(1)],
    ["no time", times.map((time) => ({ ...time, median: null }))],
    ["no list", {}],
  ])("%s", (_, printed) => {
    const parse = () => parseTimes(JSON.stringify(printed), { steps }, "program");
    expect(parse).toThrow(expect.objectContaining({ code: "run/input", subject: "program" }));
  });
});
