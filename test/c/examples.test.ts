/** The C and the Python example, on the fake unit with the demo model's vocabulary: what they print is what the runtime generates. */
import { copyFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { demoFolder, root, workFolder } from "../model/support.ts";
import { demoTokenizer, fakeManifest, fakeModel, type FakeShape } from "../runtime/support.ts";
import { execute, needs, writeProject } from "./library/project.ts";

const shape: FakeShape = { vocabSize: 4096, context: 120, eos: [2] };
const manifest = { ...fakeManifest(shape), name: "demo" };
const work = await workFolder();
const artefact = join(work, "demo");
const prompt = demoTokenizer().encode("It is a truth universally acknowledged, that");

beforeAll(() => {
  writeProject(artefact, manifest);
  writeFileSync(join(artefact, "manifest.json"), JSON.stringify(manifest));
  copyFileSync(join(demoFolder, "tokenizer.json"), join(artefact, "tokenizer.json"));
});

/** The runtime's text of a prompt and the likeliest 60 tokens after it; special tokens show nothing. */
async function generated(ids: readonly number[]): Promise<string> {
  const { tokens } = await fakeModel(shape).model.createSession().complete(ids, { maxTokens: 60 });
  return demoTokenizer().decode([...ids, ...tokens]);
}

test("c-embed, from the artefact's folder and from the installed package", async (context) => {
  needs(context, "cmake", "cc");
  const cmake = (...args: readonly string[]): void => {
    const { status, stderr } = execute("cmake", args, work);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  };
  const installed = join(work, "installed");
  cmake("-S", artefact, "-B", join(work, "library"), `-DCMAKE_INSTALL_PREFIX=${installed}`);
  cmake("--build", join(work, "library"), "-j2");
  cmake("--install", join(work, "library"));
  const ways = [
    // A path from where cmake is called, as in the example's README.
    ["folder", `-DLFM_ARTEFACT=${relative(work, artefact)}`, artefact],
    ["package", `-DCMAKE_PREFIX_PATH=${installed}`, join(installed, "share", "demo")],
  ] as const;
  for (const [way, option, data] of ways) {
    const built = join(work, way);
    cmake("-S", join(root, "examples", "c-embed"), "-B", built, option, "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror -pedantic");
    cmake("--build", built, "-j2");
    for (const ids of [[], [1, 500, 600]]) {
      const args = [join(data, "weights.bin"), join(data, "tokenizer.json"), ...ids.map(String)];
      const expected = await generated(ids.length === 0 ? prompt : ids);
      expect(execute(join(built, "embed"), args)).toEqual({ status: 0, stdout: `${expected}\n`, stderr: "" });
    }
  }
});

test("python/generate.py", async (context) => {
  needs(context, "python3", "make", "cc");
  const python = (...args: readonly string[]): unknown => execute("python3", [join(root, "examples", "python", "generate.py"), ...args]);
  expect(python(artefact)).toEqual({ status: 1, stdout: "", stderr: `error: the library is not built: make -C ${artefact}\n` });
  expect(execute("make", ["-j2"], artefact).status).toBe(0);
  for (const ids of [[], [1, 500, 600]]) {
    const expected = await generated(ids.length === 0 ? prompt : ids);
    expect(python(artefact, ...ids.map(String))).toEqual({ status: 0, stdout: `${expected}\n`, stderr: "" });
  }
  expect(python(artefact, "1", "4096")).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("a token is not in the vocabulary") as unknown,
  });
});
