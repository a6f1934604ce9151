/** The commands on a C artefact: by its library, and by its executable, which an emulator may run. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test, type TestContext } from "vitest";
import { json, lfmc, output, record, type Finished, type Setting } from "../cli/support.ts";
import { workFolder } from "../model/support.ts";
import { writeFakeArtefact } from "./support.ts";

const root = await workFolder();
const artefact = join(root, "fake");
const ids = join(root, "ids.json");
const tokens = Array.from({ length: 20 }, (_, i) => (i * 11) % 32);
const direct = { LFMC_RUNNER: "" };
const cross = { LFMC_RUNNER: "qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu max", CC: "aarch64-linux-gnu-gcc" };

beforeAll(async () => {
  writeFakeArtefact(artefact);
  writeFileSync(ids, JSON.stringify(tokens));
  await output(["run", artefact, "--tokens", "1", "--max-tokens", "1"]);
});

async function succeeds(args: readonly string[], setting: Setting = {}): Promise<string> {
  const { status, stdout, stderr } = await lfmc(args, setting);
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return stdout;
}

async function fails(args: readonly string[], setting: Setting = {}): Promise<Finished> {
  const finished = await lfmc(args, setting);
  expect(finished.stdout).toBe("");
  return finished;
}

/** The bytes that `lfmc forward` writes. */
async function logits(name: string, args: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Buffer> {
  const file = join(root, `${name}.safetensors`);
  await succeeds(["forward", artefact, "--tokens", ids, "-o", file, ...args], { environment });
  return readFileSync(file);
}

function needsEmulator(context: TestContext): void {
  for (const program of ["qemu-aarch64", "aarch64-linux-gnu-gcc"])
    if (spawnSync(program, ["--version"]).error) context.skip(`${program} is not installed`);
}

describe("forward writes the same bytes", () => {
  test("by the library, for any number of threads and rows a call, and by the executable", async () => {
    const expected = await logits("library", []);
    expect(expected.length).toBeGreaterThan(tokens.length * 32 * 4);
    expect(await logits("threads", ["--threads", "2", "--chunk", "3", "--variant", "scalar"])).toEqual(expected);
    expect(await logits("executable", ["--threads", "2", "--chunk", "2"], direct)).toEqual(expected);
  });

  test("of another machine's code under an emulator", async (context) => {
    needsEmulator(context);
    expect(await logits("emulator", ["--threads", "2"], cross)).toEqual(await logits("native", []));
  });
});

describe("run", () => {
  const greedy = ["run", artefact, "--tokens", "1,2,3", "--max-tokens", "6", "--temperature", "0", "--ignore-eos"];

  test("gives the same tokens by library and executable", async () => {
    const library = await json(greedy);
    expect(library).toMatchObject({ text: "", promptTokens: 3, stopReason: "length" });
    expect(library.tokens).toHaveLength(6);
    const executable = record(JSON.parse(await succeeds([...greedy, "--json"], { environment: direct })));
    expect(Object.keys(executable).toSorted()).toEqual(Object.keys(library).toSorted());
    expect(executable.tokens).toEqual(library.tokens);
    expect(Object.keys(record(executable.stats))).toEqual(Object.keys(record(library.stats)));
  });

  test("guesses by library and executable, in the same number of forward passes", async () => {
    for (const decode of ["jacobi", "lookup"]) {
      const guessed = [...greedy, "--decode", decode, "--window", "3", "--max-tokens", "15"];
      const { tokens: expected } = await json([...greedy, "--max-tokens", "15"]);
      const library = await json(guessed);
      const executable = record(JSON.parse(await succeeds([...guessed, "--json"], { environment: direct })));
      expect([library.tokens, executable.tokens]).toEqual([expected, expected]);
      expect(record(executable.stats).forwardPasses).toBe(record(library.stats).forwardPasses);
    }
  });

  test("samples by the library", async () => {
    const sampled = ["run", artefact, "--tokens", "1", "--max-tokens", "8", "--temperature", "0.9", "--seed", "3", "--threads", "3"];
    expect((await json(sampled)).tokens).toEqual((await json(sampled)).tokens);
  });

  test("by the executable refuses what only the library can do", async () => {
    const { status, stderr } = await fails([...greedy, "--repetition-penalty", "1.2"], { environment: direct });
    expect(status).toBe(2);
    expect(stderr).toContain("likeliest token alone");
  });

  test("tells what the executable complains of", async () => {
    const { status, stderr } = await fails([...greedy, "--variant", "neon"], { environment: direct });
    expect(status).toBe(1);
    expect(stderr).toMatch(/error: .*variant/);
  });

  test("tells which command cannot be started", async () => {
    const { status, stderr } = await fails(greedy, { environment: { LFMC_RUNNER: "no-such-emulator -x" } });
    expect(status).toBe(1);
    expect(stderr).toMatch(/error: no-such-emulator: cannot be run: .*ENOENT/);
    expect(stderr).toMatch(/hint: set LFMC_RUNNER/);
  });

  test("on an altered source compiles nothing", async () => {
    const altered = join(root, "altered");
    writeFakeArtefact(altered);
    writeFileSync(join(altered, "fake_threads.c"), "int harm;\n");
    for (const environment of [{}, direct]) {
      const { status, stderr } = await fails(["run", altered, "--tokens", "1"], { environment });
      expect(status).toBe(1);
      expect(stderr).toContain("fake_threads.c: does not have the sha256 that the manifest says");
    }
  });

  test("without a compiler says which were tried", async () => {
    const bare = join(root, "bare");
    writeFakeArtefact(bare);
    const { status, stderr } = await fails(["run", bare, "--tokens", "1"], { environment: { CC: "/nonexistent" } });
    expect(status).toBe(1);
    expect(stderr).toContain("/nonexistent: is no C compiler that can be run");
    expect(stderr).toMatch(/hint: .*CC/);
  });
});

test("inspect prints what the artefact holds; its code is C", async () => {
  expect(await output(["inspect", artefact])).toContain("fake_scalar.c");
  const { status, stderr } = await fails(["inspect", artefact, "--wat"]);
  expect(status).toBe(2);
  expect(stderr).toContain("fake_scalar.c");
});
