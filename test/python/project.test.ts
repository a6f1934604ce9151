/** `lfmc compile --python`: what it adds to an artefact, and the program of the artefact's README. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { wordsOf } from "../../compiler/artefact/verify/finding.ts";
import { findingsOf } from "../../compiler/commands/verify.ts";
import { compile } from "../../compiler/index.ts";
import { buildLibrary } from "../../compiler/native/build.ts";
import { cPackageFiles } from "../../targets/c/package.ts";
import { pythonFiles } from "../../targets/c/python-project.ts";
import { caseFolder } from "../golden/read.ts";
import { filesBelow, refusal, workFolder } from "../model/support.ts";
import { openNative, writeFakeArtefact } from "../native/support.ts";

const folder = await workFolder();
const options = { model: caseFolder("dense-tiny"), context: 64, prefillChunk: 8, target: "c", name: "3-tiny" } as const;

/** What verify says of a folder, but for what is well. */
async function complaints(of: string): Promise<readonly unknown[]> {
  const found: unknown[] = [];
  for await (const finding of findingsOf(of)) if (finding.state !== "ok") found.push([finding.state, wordsOf(finding).subject]);
  return found;
}

test("the project is added, the same each time, and verify knows it", async () => {
  const [one, other] = [join(folder, "one"), join(folder, "other")];
  await compile({ ...options, output: one, python: true });
  await compile({ ...options, output: other, python: true });
  const files = await filesBelow(one);
  expect(await filesBelow(other)).toEqual(files);
  const modules = [...files.keys()].filter((path) => path.startsWith("python/model_3_tiny/"));
  expect(modules.map((path) => path.slice("python/model_3_tiny/".length))).toEqual(
    expect.arrayContaining(["__init__.py", "facts.py", "py.typed"]),
  );
  expect([...files.keys()]).toEqual(expect.arrayContaining(["MANIFEST.in", "pyproject.toml", "setup.py"]));
  const filled = [...files].filter(([path]) => /^(?:MANIFEST.in|pyproject.toml|setup.py|python\/.*)$/.test(path));
  for (const [path, text] of filled) expect([path, /@[a-z]\w*@/.exec(text)]).toEqual([path, null]);
  expect(await complaints(one)).toEqual([]);
  rmSync(join(one, "python", "model_3_tiny", "text.py"));
  writeFileSync(join(one, "setup.py"), "altered");
  expect(await complaints(one)).toEqual([
    ["note", "setup.py"],
    ["note", "python/model_3_tiny/text.py"],
  ]);
});

test("a distribution's name ends as Python wants it", () => {
  const manifest = { ...writeFakeArtefact(join(folder, "named")), name: "X_1-." };
  const files = pythonFiles({ manifest, license: null, chatTemplate: null, weightsHash: "", python: true });
  expect(files.find(({ path }) => path === "pyproject.toml")?.text).toContain('name = "x_1"\n');
});

test("a module has no library to call", async () => {
  const { code, subject } = await refusal(() => compile({ ...options, target: "wasm-simd", python: true, output: join(folder, "wasm") }));
  expect({ code, subject }).toEqual({ code: "usage/flag", subject: "--python" });
});

test("the README's program prints what the runtime generates", async (context) => {
  if (spawnSync("python3", ["--version"]).error) context.skip("python3 is not installed");
  const artefact = join(folder, "fake");
  const manifest = writeFakeArtefact(artefact);
  const input = { manifest, license: null, chatTemplate: null, weightsHash: "", python: true };
  for (const { path, text } of [...cPackageFiles(input), ...pythonFiles(input)]) {
    mkdirSync(dirname(join(artefact, path)), { recursive: true });
    writeFileSync(join(artefact, path), text);
  }
  const [, program = ""] = /^```python\n(.*?)^```$/ms.exec(readFileSync(join(artefact, "README.md"), "utf8")) ?? [];
  const python = (): unknown => {
    const environment = { ...process.env, PYTHONPATH: join(artefact, "python"), PYTHONDONTWRITEBYTECODE: "1" };
    const { stdout, stderr } = spawnSync("python3", ["-c", program], { env: environment, encoding: "utf8" });
    return { stdout, error: stderr.trimEnd().split("\n").at(-1) };
  };
  expect(python()).toEqual({ stdout: "", error: expect.stringContaining("the library of fake is not built: run `make` in") as unknown });
  await buildLibrary(artefact, manifest);
  const { tokens } = await (await openNative(artefact)).createSession().complete([1], { maxTokens: 64 });
  expect(python()).toEqual({ stdout: tokens.map((token) => `${token} `).join(""), error: "" });
});
