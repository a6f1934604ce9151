/** The executable and the build files of a C project, as a user has them: make, CMake, find_package, pkg-config, linked weights. */
import { existsSync, lstatSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { encodeSafetensors } from "../../compiler/commands/encode-safetensors.ts";
import { fakeManifest, fakeModel, type FakeShape } from "../runtime/support.ts";
import { workFolder } from "../model/support.ts";
import { execute, needs, writeProject, type Finished } from "./library/project.ts";

const shape: FakeShape = { hash: "0123456789abcdef".repeat(4), eos: [7, 2], prefillChunk: 12, logitRows: 9 };
const name = "my-Fake.v2";
const work = await workFolder();
const folder = join(work, "fake");
const program = join(folder, "build", name);

beforeEach((context) => {
  needs(context, "make", "cc");
  if (existsSync(folder)) return;
  writeProject(folder, { ...fakeManifest(shape), name });
  const made = execute("make", ["-j2"], folder);
  if (made.status !== 0) throw new Error(made.stderr);
});

const done = { status: 0, stderr: "" };

function reply(status: number, message: string): unknown {
  return { status, stdout: "", stderr: expect.stringContaining(message) as unknown };
}

const command = (...args: readonly string[]): Finished => execute(program, args, work);

describe("run", () => {
  test("writes what the runtime writes, and ends as it ends", async () => {
    const prompts = [[3, 1, 4], [1], [9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9], Array.from({ length: 24 }, (_, i) => i)];
    for (const prompt of prompts) {
      for (const [maxTokens, ignoreEos] of [
        [4, false],
        [0, false],
        [100, true],
        [100, false],
      ] as const) {
        const session = fakeModel(shape).model.createSession();
        const { tokens } = await session.complete(prompt, { maxTokens, ignoreEos });
        const flags = ["--tokens", prompt.join(","), "--max-tokens", String(maxTokens), ...(ignoreEos ? ["--ignore-eos"] : [])];
        const { stdout, ...rest } = command("run", ...flags, "--json", "--threads", "2");
        expect(rest).toEqual(done);
        expect(JSON.parse(stdout)).toMatchObject({
          text: "",
          tokens,
          promptTokens: prompt.length,
          stopReason: session.stopReason,
          stats: { forwardPasses: session.result?.stats.forwardPasses },
        });
        expect(command("run", ...flags)).toEqual({ ...done, stdout: `${tokens.join(",")}\n` });
      }
    }
  });

  test("finds the same tokens by guesses, in as many forward passes as the runtime", async () => {
    const prompts = [[3, 1, 4], [1], [9, 9, 9, 9], [1, 2, 3, 1, 2, 3, 1, 2]];
    for (const prompt of prompts) {
      for (const decode of ["jacobi", "lookup"] as const) {
        for (const [window, maxTokens] of [
          [4, 100],
          [3, 9],
          [1, 100],
        ] as const) {
          const { tokens, stats } = await fakeModel(shape).model.createSession().complete(prompt, { maxTokens, decode, window });
          const flags = ["--tokens", prompt.join(","), "--max-tokens", String(maxTokens), "--decode", decode, "--window", String(window)];
          const { stdout, ...rest } = command("run", ...flags, "--json");
          expect(rest).toEqual(done);
          expect(JSON.parse(stdout)).toMatchObject({ tokens, stats: { forwardPasses: stats.forwardPasses } });
        }
      }
    }
  });

  test.each([
    [["run", "--tokens", "1", "--decode", "magic"], 2, '--decode: expected greedy, jacobi or lookup, not "magic"'],
    [["run", "--tokens", "1", "--window", "5"], 2, "--window: expected 1 to 4"],
    [["run"], 2, "run: give --tokens 1,2,3"],
    [["run", "--tokens", "1,x"], 2, '--tokens: expected whole numbers separated by commas, not "1,x"'],
    [["run", "--tokens", "1,"], 2, "--tokens: expected whole numbers"],
    [["run", "--tokens"], 2, "--tokens: has no value"],
    [["run", "--tokens", "1", "--prompt", "a"], 2, "--prompt: is no flag of run"],
    [["run", "--tokens", "1", "--threads", "0"], 2, "--threads: expected whole numbers of at least 1"],
    [["run", "--tokens", "1", "--threads", "65"], 2, "--threads: expected 1 to 64"],
    [["run", "--tokens", "1", "--max-tokens", "1,2"], 2, '--max-tokens: expected one whole number, not "1,2"'],
    [["run", "--tokens", "32"], 1, "tokens: a token is not in the vocabulary"],
    [["run", "--tokens", "99999999999999999999"], 1, "tokens: a token is not in the vocabulary"],
    [["run", "--tokens", Array.from({ length: 25 }, () => 1).join(",")], 1, "a position is past the context"],
    [["run", "--tokens", "1", "--variant", "avx2"], 1, "the variant is not in this library"],
    [["run", "--tokens", "1", "--weights", "none"], 1, "none: the weights cannot be read"],
    [["bench"], 1, "bench: needs 512 positions, the model has 24"],
    [["speak"], 2, "speak: is no command"],
    [[], 2, `  ${name} bench [--prompt 512]`],
  ])("%j is refused", (args, status, message) => {
    expect(command(...args)).toEqual(reply(status, message));
  });
});

describe("forward", () => {
  const list = join(work, "tokens.json");
  const output = join(work, "logits.safetensors");

  test("writes the file that lfmc forward writes, in any chunks", async () => {
    for (const count of [1, 7, 24]) {
      const tokens = Array.from({ length: count }, (_, i) => (i * 11) % 32);
      const values = new Float32Array(count * 32);
      let row = 0;
      for await (const logits of fakeModel(shape).model.createSession().logits(tokens)) values.set(logits, 32 * row++);
      const expected = encodeSafetensors([{ name: "logits", shape: [count, 32], values }]);
      writeFileSync(list, ` [${tokens.join(" ,\n")}]\n`);
      for (const flags of [[], ["--chunk", "1"], ["--chunk", "2", "--threads", "2"]]) {
        expect(command("forward", "--tokens", list, ...flags, "-o", output)).toEqual({ ...done, stdout: "" });
        expect(new Uint8Array(readFileSync(output))).toEqual(expected);
      }
    }
  });

  test.each([
    ["[1, 2", 1, "is not a list of token ids"],
    ["[]", 1, "is not a list of token ids"],
    ["1, 2", 1, "is not a list of token ids"],
    ["[1, -2]", 1, "is not a list of token ids"],
    ["[1, 2] 3", 1, "is not a list of token ids"],
    ["[1, 2, 32]", 1, "tokens: a token is not in the vocabulary"],
    [JSON.stringify(Array.from({ length: 25 }, () => 1)), 1, "tokens: a position is past the context"],
  ])("%s is refused, and nothing is left behind", (text, status, message) => {
    rmSync(output, { force: true });
    writeFileSync(list, text);
    expect(command("forward", "--tokens", list, "-o", output)).toEqual(reply(status, message));
    expect(readdirSync(work).filter((path) => path.startsWith("logits"))).toEqual([]);
  });
});

test("a link is written through, not replaced; help is no error; nothing is one", () => {
  const [real, link, list] = [join(work, "real"), join(work, "link"), join(work, "link-tokens.json")];
  writeFileSync(real, "");
  writeFileSync(list, "[1, 2]");
  symlinkSync(real, link);
  expect(execute(program, ["forward", "--tokens", list, "-o", link]).status).toBe(0);
  expect(lstatSync(link).isSymbolicLink()).toBe(true);
  expect(readFileSync(real).length).toBeGreaterThan(100);
  expect(execute(program, ["--help"])).toMatchObject({ status: 0, stderr: "" });
  expect(execute(program, []).status).toBe(2);
  writeFileSync(list, "[1]\0[2]");
  expect(execute(program, ["forward", "--tokens", list, "-o", link])).toMatchObject({ status: 1 });
  expect(execute(program, ["run", "--tokens", "1", "--variant", "none"]).stderr).toMatch(/^error: --variant: /);
});

test("bench measures", () => {
  const { stdout, ...rest } = command("bench", "--prompt", "9", "--decode", "3", "--depth", "0,7", "--threads", "1,2", "--json");
  expect(rest).toEqual(done);
  const records: unknown = JSON.parse(stdout);
  const barriers = [
    { threads: 1, barriersPerToken: 0, barrierSeconds: 0 },
    { threads: 2, barriersPerToken: 4, barrierSeconds: expect.toSatisfy((seconds: number) => seconds > 0 && seconds < 1) as unknown },
  ];
  expect(records).toMatchObject(barriers.flatMap((fields) => [0, 7].map((depth) => ({ ...fields, depth, variant: "scalar" }))));
});

describe("builds", () => {
  const prefix = join(work, "installed");
  const consumer = join(work, "consumer");
  const source = [
    `#include "${name}.h"`,
    "#include <stdio.h>",
    "#include <stdlib.h>",
    "int main(int argc, char **argv) {",
    "  void *arena = malloc(lfm_my_fake_v2_arena_bytes(2));",
    "  lfm_my_fake_v2_model *model;",
    "  const char *path = argc > 1 ? argv[1] : NULL;",
    '  printf("%d\\n", lfm_my_fake_v2_create(&model, arena, lfm_my_fake_v2_arena_bytes(2), path, 2, NULL));',
    "  lfm_my_fake_v2_destroy(model);",
    "  free(arena);",
    "  return 0;",
    "}\n",
  ].join("\n");

  function succeeds(tool: string, args: readonly string[], directory?: string): string {
    const { status, stdout, stderr } = execute(tool, args, directory);
    expect({ status, stderr }).toEqual(done);
    return stdout;
  }

  test("make: the library exports its API alone, and weights can be linked in and taken out again", (context) => {
    needs(context, "nm");
    const symbols = succeeds("nm", ["-D", "--defined-only", "--format=posix", join(folder, "build", `lib${name}.so`)]);
    const api = readFileSync(join(folder, `${name}.h`), "utf8").match(/(?<=^LFM_MY_FAKE_V2_API [^(]*)lfm_\w+(?=\()/gm);
    expect(symbols.match(/^\S+/gm)).toEqual([...(api ?? [])].toSorted());
    const elsewhere = join(work, "elsewhere");
    for (const [linked, status] of [
      ["1", 0],
      ["", 1],
    ] as const) {
      succeeds("make", ["-j2", `LINKED_WEIGHTS=${linked}`], folder);
      succeeds("cp", [program, elsewhere]);
      expect(execute(elsewhere, ["run", "--tokens", "1", "--max-tokens", "1"], "/").status).toBe(status);
    }
    expect(succeeds("make", [], folder)).toContain("Nothing to be done");
  });

  test.for([
    ["mapped", "static"],
    ["linked", "shared"],
  ] as const)("CMake: %s weights, %s library, find_package", ([weights, kind], context) => {
    needs(context, "cmake");
    const built = join(work, `cmake-${weights}`);
    const options = [
      `-DCMAKE_INSTALL_PREFIX=${prefix}-${weights}`,
      `-DBUILD_SHARED_LIBS=${kind === "shared" ? "ON" : "OFF"}`,
      `-DLFM_MY_FAKE_V2_LINKED_WEIGHTS=${weights === "linked" ? "ON" : "OFF"}`,
    ];
    succeeds("cmake", ["-S", folder, "-B", built, "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror -pedantic", ...options]);
    succeeds("cmake", ["--build", built, "-j2"]);
    succeeds("cmake", ["--install", built]);
    expect(
      succeeds(join(`${prefix}-${weights}`, "bin", name), [
        "run",
        "--tokens",
        "3",
        "--max-tokens",
        "1",
        ...(weights === "mapped" ? ["--weights", join(`${prefix}-mapped`, "share", name, "weights.bin")] : []),
      ]),
    ).toMatch(/^\d+\n$/);
    expect(existsSync(join(`${prefix}-${weights}`, "share", name, "weights.bin"))).toBe(weights === "mapped");

    succeeds("mkdir", ["-p", consumer]);
    writeFileSync(join(consumer, "main.c"), source);
    writeFileSync(
      join(consumer, "CMakeLists.txt"),
      [
        "cmake_minimum_required(VERSION 3.13)",
        "project(consumer C)",
        `find_package(${name} 1 REQUIRED)`,
        "add_executable(consumer main.c)",
        `target_link_libraries(consumer PRIVATE ${name}::${name})`,
        'file(WRITE ${CMAKE_BINARY_DIR}/weights "${LFM_MY_FAKE_V2_WEIGHTS}")\n',
      ].join("\n"),
    );
    const used = join(work, `consumer-${weights}`);
    succeeds("cmake", ["-S", consumer, "-B", used, `-DCMAKE_PREFIX_PATH=${prefix}-${weights}`]);
    succeeds("cmake", ["--build", used]);
    const path = readFileSync(join(used, "weights"), "utf8");
    expect(succeeds(join(used, "consumer"), weights === "mapped" ? [path] : [])).toBe("0\n");
  });

  test("pkg-config: flags and the weights' path", (context) => {
    needs(context, "cmake", "pkg-config");
    // Where `cmake --install --prefix` puts it may not be where it was configured for.
    const installed = join(work, "moved");
    renameSync(`${prefix}-mapped`, installed);
    const flags = (...asked: readonly string[]): readonly string[] =>
      succeeds("pkg-config", [...asked, join(installed, "lib", "pkgconfig", `${name}.pc`)])
        .trim()
        .split(" ");
    succeeds("cc", [join(consumer, "main.c"), ...flags("--static", "--cflags", "--libs"), "-o", join(work, "plain")]);
    expect(succeeds(join(work, "plain"), flags("--variable=weights"))).toBe("0\n");
    // The installed executable finds the weights that were installed with it.
    expect(succeeds(join(installed, "bin", name), ["run", "--tokens", "1", "--max-tokens", "1"])).toMatch(/^\d+\n$/);
  });
});
