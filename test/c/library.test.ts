/**
 * The C library round its units: sessions, errors, weights, threads, guards and build files. The unit is a fake whose logits depend on
 * everything that the library must get right (`library/fake_unit.c`), the same in C as `fakeEngine` is for the runtime, so that
 * results and saved sessions of the two are compared bit for bit.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { symbolOf, withPrefix } from "../../targets/c/project.ts";
import { workFolder } from "../model/support.ts";
import type { Session } from "../../runtime/index.ts";
import { crc32 } from "../../runtime/crc32.ts";
import { fakeManifest, fakeModel, refusal, type FakeShape } from "../runtime/support.ts";
import { execute, needs, writeProject, type Finished } from "./library/project.ts";

// A call of prefillChunk rows is too long for the rings, and so is one of logitRows where the next checkpoint is near.
const shape: FakeShape = { hash: "0123456789abcdef".repeat(4), eos: [7], prefillChunk: 12, logitRows: 9 };
const manifest = fakeManifest(shape);
const folder = join(await workFolder(), "fake");
const weights = join(folder, "weights.bin");
const strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"];
const units = ["", "_session", "_sample", "_platform", "_threads", "_weights", "_scalar"].map((part) => `fake${part}.c`);
const commands = ["main.c", "fake_command.c", "fake_bench.c", "fake_guess.c"];

beforeAll(() => {
  writeProject(folder, manifest);
});

/** Compiles and links in the project's folder; diagnostics fail the test. */
function build(compiler: string, flags: readonly string[], sources: readonly string[], output: string): string {
  const { status, stderr } = execute(compiler, [...strict, "-I.", ...flags, ...sources, "-lm", "-lpthread", "-o", output], folder);
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return join(folder, output);
}

const drivers = new Map<string, string>();

/** The test driver built with these flags, once. */
function driver(compiler: string, flags: readonly string[]): string {
  const key = [compiler, ...flags].join(" ");
  const path = drivers.get(key) ?? build(compiler, flags, [...units, "test/driver.c"], `driver-${drivers.size}`);
  drivers.set(key, path);
  return path;
}

const careful = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
const racing = ["-g", "-O1", "-fsanitize=thread"];

function passes({ status, stdout, stderr }: Finished): void {
  expect(stderr).toBe("");
  expect(stdout).toBe("");
  expect(status).toBe(0);
}

/** The numbers that a line of the driver's output holds, as f32. */
function floats(line: string | undefined): Float32Array {
  return Float32Array.from((line ?? "").split(" "), Number);
}

/** The logits after one more token, 0. */
async function next(session: Session): Promise<Float32Array | undefined> {
  for await (const logits of session.logits([0])) return logits;
  return undefined;
}

describe("names", () => {
  test.each([
    ["demo", "demo"],
    ["my-Model.v2", "my_model_v2"],
  ])("%s becomes %s", (name, symbol) => {
    expect(symbolOf(name)).toBe(symbol);
    expect(withPrefix('#include "lfm.h" "lfm_internal.h" lfm_x LFM_Y alfm_z', name)).toBe(
      `#include "${name}.h" "${name}_internal.h" lfm_${symbol}_x LFM_${symbol.toUpperCase()}_Y alfm_z`,
    );
  });
});

describe("sources", () => {
  test.for(["gcc", "clang-19", "aarch64-linux-gnu-gcc"])("compile under %s without a warning, mapped and read", (compiler, context) => {
    needs(context, compiler);
    for (const flags of [[], ["-DLFM_FAKE_NO_MMAP"]]) build(compiler, ["-O2", ...flags], [...units, ...commands], "plain");
  });

  test("the header is C++ too", (context) => {
    needs(context, "g++");
    passes(execute("g++", ["-Wall", "-Wextra", "-Werror", "-pedantic", "-x", "c++", "-fsyntax-only", "fake.h"], folder));
  });
});

describe.each(["gcc", "clang-19"])("under ASan and UBSan, %s:", (compiler) => {
  test.for([
    ["create", "1"],
    ["create", "3"],
    ["slots", "1"],
    ["slots", "2"],
    ["rewind", "1"],
    ["rewind", "2"],
    ["save", "1"],
    ["save", "2"],
    ["rows"],
    ["environment"],
  ])("%s %s", ([name = "", ...args], context) => {
    needs(context, compiler);
    passes(execute(driver(compiler, careful), [name, weights, ...args]));
  });

  test("host", (context) => {
    needs(context, compiler);
    passes(execute(driver(compiler, careful), ["host", weights, "2", String(manifest.memory.rows.offset)]));
  });

  test.for([[], ["-DLFM_FAKE_NO_MMAP"]])("refusals %s", (flags, context) => {
    needs(context, compiler);
    const bytes = readFileSync(weights);
    const [cut, foreign] = [join(folder, "cut.bin"), join(folder, "foreign.bin")];
    writeFileSync(cut, bytes.subarray(0, -1));
    const other = bytes.length - 40;
    writeFileSync(foreign, bytes.with(other, (bytes[other] ?? 0) ^ 1));
    const program = driver(compiler, [...careful, ...flags]);
    passes(execute(program, ["refusals", weights, cut, foreign]));
    passes(execute(program, ["create", weights, "2"]));
  });
});

test.for([
  ["create", "3"],
  ["slots", "3"],
  ["save", "2"],
  ["rewind", "2"],
] as const)("under TSan: %s %s", ([name, threads], context) => {
  needs(context, "gcc");
  passes(execute(driver("gcc", racing), [name, weights, threads]));
});

test("create and destroy leave nothing behind under valgrind", (context) => {
  needs(context, "gcc", "valgrind");
  const program = driver("gcc", ["-g", "-O1"]);
  passes(execute("valgrind", ["-q", "--leak-check=full", "--show-leak-kinds=all", "--error-exitcode=9", program, "create", weights, "2"]));
});

describe("arithmetic", () => {
  test.for([
    ["gcc", "-ffast-math"],
    ["gcc", "-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math"],
    ["gcc", "-freciprocal-math"],
    ["gcc", "-ffinite-math-only"],
    ["clang-19", "-ffast-math"],
    ["clang-19", "-ffinite-math-only"],
  ])("%s %s is refused", ([compiler = "", ...flags], context) => {
    needs(context, compiler);
    const { status, stderr } = execute(compiler, ["-std=c99", ...flags, "-c", "fake_scalar.c", "-o", "refused.o"], folder);
    expect(stderr).toMatch(/fake needs (?:exact binary32 arithmetic|infinities and NaN): build without -f/);
    expect(status).not.toBe(0);
  });

  test("extended precision is refused", (context) => {
    needs(context, "gcc");
    if (process.arch !== "x64") context.skip("only x86 has an extended precision to choose");
    const { stderr } = execute("gcc", ["-std=c99", "-mfpmath=387", "-c", "fake_scalar.c", "-o", "refused.o"], folder);
    expect(stderr).toContain("fake needs binary32 evaluated as binary32");
  });

  // clang obeys -ffp-contract=fast whatever the source says: the units' self-tests refuse that.
  test.for([
    ["gcc", "-ffp-contract=fast"],
    ["clang-19", "-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math"],
    ["clang-19", "-freciprocal-math"],
  ])("%s %s has no effect on the code after the header", ([compiler = "", ...flags], context) => {
    needs(context, compiler);
    const source = join(folder, "sums.c");
    writeFileSync(
      source,
      [
        '#include "fake_internal.h"',
        "float fused(float a, float b, float c) { return a * b + c; }",
        "float regrouped(float a, float b) { return (a + b) - b; }",
        "float reciprocal(float a, float b, float c) { return a / c + b / c; }\n",
      ].join("\n"),
    );
    const fused = process.arch === "x64" ? ["-mfma"] : [];
    const code = (some: readonly string[]): string => execute(compiler, ["-O2", ...fused, ...some, "-S", source, "-o", "-"], folder).stdout;
    const instructions = (text: string): string => text.replace(/^\s*\.(?:ident|file).*$/gm, "");
    expect(code([])).toContain("mul");
    expect(code(flags)).not.toMatch(/fmadd/);
    expect(instructions(code(flags))).toBe(instructions(code(["-ffp-contract=off"])));
  });

  test("create refuses a unit whose self-test fails", (context) => {
    needs(context, "gcc");
    expect(execute(driver("gcc", ["-O1"]), ["status", weights]).stdout).toBe("0\n");
    expect(execute(driver("gcc", ["-O1", "-DFAKE_SELF_TEST=1"]), ["status", weights]).stdout).toBe("7\n");
  });
});

describe("saved sessions", () => {
  const path = join(folder, "session.bin");
  const program = (): string => driver("gcc", careful);

  test.for([0, 1, 6, 13, 23])("the runtime saves what C saves, and goes on from it: %i tokens", async (count, context) => {
    needs(context, "gcc");
    const { stdout, stderr } = execute(program(), ["export", weights, String(count), path]);
    expect(stderr).toBe("");
    const bytes = new Uint8Array(readFileSync(path));
    const session = fakeModel(shape).model.createSession();
    const tokens = Array.from({ length: count }, (_, i) => i + 1);
    await session.prefill(tokens);
    expect(session.save()).toEqual(bytes);
    const restored = fakeModel(shape).model.createSession();
    restored.load(bytes);
    expect(restored.tokens).toEqual(tokens);
    expect(await next(restored)).toEqual(floats(stdout.trimEnd()));
  });

  test("C goes on from what the runtime saves, with tokens that it had not evaluated", async (context) => {
    needs(context, "gcc");
    const session = fakeModel(shape).model.createSession();
    for await (const _ of session.generate([3, 1, 4, 1, 5, 9, 2, 6], { maxTokens: 9, ignoreEos: true }));
    session.rewind(3);
    await session.complete([5, 5, 5], { maxTokens: 7, ignoreEos: true });
    writeFileSync(path, session.save());
    const logits = await next(session);
    for (const threads of ["1", "2"]) {
      const [facts, line] = execute(program(), ["import", weights, threads, path]).stdout.split("\n");
      expect(facts).toBe("0 13");
      expect(floats(line)).toEqual(logits);
    }
  });

  const sealed = (bytes: Uint8Array): Uint8Array => {
    const copy = bytes.slice();
    new DataView(copy.buffer).setUint32(copy.length - 4, crc32(copy.subarray(0, -4)), true);
    return copy;
  };
  test.for<[string, (bytes: Uint8Array) => Uint8Array]>([
    ["nothing", (bytes) => bytes.subarray(0, 0)],
    ["another magic", (bytes) => sealed(bytes.with(0, 0))],
    ["another version", (bytes) => sealed(bytes.with(4, 2))],
    ["another model", (bytes) => sealed(bytes.with(8, 1))],
    ["one byte less", (bytes) => sealed(bytes.subarray(0, -1))],
    ["one byte more", (bytes) => sealed(Uint8Array.of(...bytes, 0))],
    ["an altered byte", (bytes) => bytes.with(80, (bytes[80] ?? 0) ^ 1)],
    ["more evaluated than there is", (bytes) => sealed(bytes.with(44, 20))],
    ["rings that reach beyond what is evaluated", (bytes) => sealed(bytes.with(48, 9))],
    ["rings that reach further back than they do", (bytes) => sealed(bytes.with(48, 2))],
    ["a token outside the vocabulary", (bytes) => sealed(bytes.with(56, 32))],
    ["another slot size", (bytes) => sealed(bytes.with(52, 4))],
  ])("%s is refused as the runtime refuses it", async ([, change], context) => {
    needs(context, "gcc");
    const session = fakeModel(shape).model.createSession();
    await session.complete([3, 1, 4, 1, 5], { maxTokens: 3, ignoreEos: true });
    const bytes = change(session.save());
    writeFileSync(path, bytes);
    const { code } = await refusal(() => fakeModel(shape).model.restore(bytes));
    const expected = code === "artefact/mismatch" ? "16 0\n" : "15 0\n";
    expect(execute(program(), ["import", weights, "1", path])).toEqual({ status: 0, stdout: expected, stderr: "" });
  });
});
