/** The system compiler behind a C artefact: what it is given, when it is asked again, and how it fails. */
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { LfmcError } from "../../compiler/errors.ts";
import { buildExecutable, buildLibrary } from "../../compiler/native/build.ts";
import { architectureOf } from "../../compiler/native/compiler.ts";
import { runCommand } from "../../compiler/native/command.ts";
import type { Manifest } from "../../runtime/index.ts";
import { refusal, workFolder } from "../model/support.ts";
import { writeFakeArtefact } from "./support.ts";

const root = await workFolder();
const built = join(root, "built");
let manifest: Manifest;
const environment = { CC: process.env.CC, XDG_CACHE_HOME: process.env.XDG_CACHE_HOME };

beforeAll(async () => {
  manifest = writeFakeArtefact(built);
  await buildLibrary(built, manifest);
});

beforeEach(() => {
  process.env.XDG_CACHE_HOME = join(root, "cache");
});

afterEach(() => {
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined) Reflect.deleteProperty(process.env, name);
    else process.env[name] = value;
  }
});

let copies = 0;

/** A copy of the built artefact. */
function copy(): string {
  const folder = join(root, `copy-${copies++}`);
  cpSync(built, folder, { recursive: true, preserveTimestamps: true });
  return folder;
}

/** A compiler of the given name that fails at every compile, and says why. */
function failingCompiler(): string {
  const path = join(root, "failing-cc");
  const answers = 'case "$*" in *dumpmachine*) exec cc -dumpmachine;; *--version*) echo "failing 1.0"; exit 0;; esac';
  writeFileSync(path, `#!/bin/sh\n${answers}\necho "fake.c:7: error: no such thing" >&2\necho "fake.c:8: note: more" >&2\nexit 1\n`);
  chmodSync(path, 0o755);
  return path;
}

test("a library lies in build/ with its stamp, and nothing else", () => {
  expect(readdirSync(join(built, "build")).toSorted()).toEqual(["libfake.so", "libfake.so.stamp"]);
});

describe("a build", () => {
  const inode = (folder: string): number => statSync(join(folder, "build", "libfake.so")).ino;

  test("is kept while sources and compiler are the same", async () => {
    const folder = copy();
    const before = inode(folder);
    await buildLibrary(folder, manifest);
    expect(inode(folder)).toBe(before);
  });

  test("is made again where the library is not the one that was built, or another compiler's", async () => {
    const folder = copy();
    const library = join(folder, "build", "libfake.so");
    writeFileSync(library, "nothing to load");
    await buildLibrary(folder, manifest);
    expect(readFileSync(library).subarray(1, 4).toString()).toBe("ELF");
    const before = inode(folder);
    process.env.CC = "cc -DOTHER";
    const { compiler } = await buildLibrary(folder, manifest);
    expect(inode(folder)).not.toBe(before);
    expect(compiler).toMatchObject({ command: "cc", args: ["-DOTHER"] });
  });

  test("by several processes at once does no harm", async () => {
    const folder = copy();
    rmSync(join(folder, "build"), { recursive: true });
    const paths = await Promise.all([1, 2, 3].map(async () => (await buildLibrary(folder, manifest)).path));
    expect(new Set(paths).size).toBe(1);
    expect(readdirSync(join(folder, "build")).toSorted()).toEqual(["libfake.so", "libfake.so.stamp"]);
  });

  test("goes to the user's cache where the artefact's folder has no room for it", async () => {
    const folder = copy();
    rmSync(join(folder, "build"), { recursive: true });
    writeFileSync(join(folder, "build"), "a file");
    const { path } = await buildLibrary(folder, manifest);
    expect(path.startsWith(join(root, "cache", "lfmc"))).toBe(true);
    expect((await buildLibrary(folder, manifest)).path).toBe(path);
  });

  test("makes an executable that answers", async () => {
    const { path } = await buildExecutable(copy(), manifest);
    const { status, stdout } = await runCommand(path, ["run", "--tokens", "1,2", "--max-tokens", "3", "--json"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ promptTokens: 2, stopReason: "length" });
  });
});

describe("is refused:", () => {
  test.each(["fake.c", "fake_scalar.c", "fake_internal.h", "main.c"])("%s that is not as it was written", async (path) => {
    const folder = copy();
    writeFileSync(join(folder, path), `${readFileSync(join(folder, path), "utf8")}\nint harm;\n`);
    const error = await refusal(() => buildLibrary(folder, manifest));
    expect(error).toMatchObject({ code: "artefact/mismatch", subject: path });
  });

  test("what the manifest does not name is not compiled", async () => {
    const folder = copy();
    rmSync(join(folder, "build"), { recursive: true });
    for (const name of ["string.h", "stdint.h", "extra.c"]) writeFileSync(join(folder, name), "#error never\n");
    await buildLibrary(folder, manifest);
    expect(existsSync(join(folder, "build", "libfake.so"))).toBe(true);
  });

  test("a compiler that is not there", async () => {
    process.env.CC = "/nonexistent/cc";
    const error = await refusal(() => buildLibrary(copy(), manifest));
    expect(error).toMatchObject({ code: "native/compiler", subject: "/nonexistent/cc" });
    expect(error.hint).toContain("CC");
  });

  test("a compiler that fails, with its first words; and nothing is left behind", async () => {
    process.env.CC = failingCompiler();
    const folder = copy();
    rmSync(join(folder, "build"), { recursive: true });
    mkdirSync(join(folder, "build"));
    const error = await refusal(() => buildLibrary(folder, manifest));
    expect(error).toBeInstanceOf(LfmcError);
    expect(error).toMatchObject({ code: "native/compiler", subject: process.env.CC });
    expect(error.message).toContain("fake.c:7: error: no such thing");
    expect(readdirSync(join(folder, "build"))).toEqual([]);
  });

  test("code for another machine", async () => {
    const other = architectureOf(process.arch) === "arm" ? "c-x86" : "c-arm";
    const error = await refusal(() => buildLibrary(copy(), { ...manifest, target: other }));
    expect(error.code).toBe("native/machine");
  });
});
