/**
 * A C artefact as a Python user gets it: a wheel by pip, installed into a fresh environment, used in an empty folder where there is no compiler. Texts
 * become the ids that the JavaScript runtime makes of them, and are gone on with in the same way. Needs a package index, or pip's cache, for
 * setuptools, wheel and tokenizers.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { buildLibrary } from "../../compiler/native/build.ts";
import { load, parseManifest } from "../../runtime/library/index.ts";
import { demoFolder, workFolder } from "../model/support.ts";

const folder = await workFolder();
const python = process.env.LFMC_PYTHON ?? "python3";

function run(
  program: string,
  args: readonly string[],
  more: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv; readonly input?: string } = {},
) {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", maxBuffer: 2 ** 26, ...more });
  return { status, stdout, stderr };
}

const program = `
import json, sys
from demo import load
asked = json.load(sys.stdin)
with load(threads=2) as model:
    found = {"ids": [model.encode(text) for text in asked["texts"]], "texts": []}
    for prompt in asked["prompts"]:
        with model.create_session() as session:
            found["texts"].append("".join(part.text for part in session.generate(prompt, max_tokens=40, seed=7)))
    found["batch"] = [completion.text for _, completion in sorted(model.complete_batch(asked["prompts"], max_tokens=40, seed=7))]
print(json.dumps(found))
`;

test("a wheel is built from what is built, installed, and used without a compiler", { timeout: 900_000 }, async (context) => {
  const builder = join(folder, "builder");
  if (run(python, ["-m", "venv", builder]).status !== 0) context.skip(`${python} makes no virtual environments`);
  const pip = (place: string, ...args: readonly string[]) =>
    run(join(place, "bin", "python"), ["-m", "pip", "--disable-pip-version-check", ...args]);
  if (pip(builder, "install", "-q", "setuptools", "wheel").status !== 0) context.skip("pip finds no setuptools and wheel");

  const artefact = join(folder, "demo");
  await compile({ model: demoFolder, target: "c", output: artefact, name: "demo", context: 300, sessions: 3, python: true });
  const manifest = parseManifest(JSON.parse(readFileSync(join(artefact, "manifest.json"), "utf8")));
  const { path } = await buildLibrary(artefact, manifest);
  expect(pip(builder, "wheel", artefact, "-w", folder, "--no-build-isolation", "--no-deps")).toMatchObject({ status: 0 });
  const [wheel = ""] = readdirSync(folder).filter((name) => name.endsWith(".whl"));
  expect(wheel).toMatch(/^demo-1\.0\.0-py3-none-(?!any)\w+\.whl$/);
  expect(existsSync(join(artefact, "demo.egg-info"))).toBe(false);

  const user = join(folder, "user");
  const empty = join(folder, "empty");
  mkdirSync(empty);
  expect(run(python, ["-m", "venv", user]).status).toBe(0);
  if (pip(user, "install", "-q", "tokenizers").status !== 0) context.skip("pip finds no tokenizers");
  expect(pip(user, "install", "-q", "--no-deps", join(folder, wheel))).toMatchObject({ status: 0 });

  const novel = readFileSync(join(demoFolder, "text", "emma.txt"), "utf8");
  const odd = ["", " ", "a<|endoftext|>b", "<|startoftext|>x", "naïve café\u0301 𝄞 日本\u00A0\u2028\r\n\t1234567", "don't I'LL"];
  const texts = [...novel.split("\n").slice(0, 2000), novel.slice(0, 50_000), ...odd];
  const prompts = ["It is a truth universally acknowledged, that", "Emma was", "naïve 𝄞", "1 2 3", "She"];
  const { status, stdout, stderr } = run(join(user, "bin", "python"), ["-c", program], {
    cwd: empty,
    env: { PATH: "" },
    input: JSON.stringify({ texts, prompts }),
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const model = await load({ base: pathToFileURL(`${artefact}/`), library: pathToFileURL(path), threads: 2 });
  const expected: string[] = [];
  for (const prompt of prompts) {
    const session = model.createSession();
    expected.push((await session.complete(prompt, { maxTokens: 40, seed: 7 })).text);
    session.release();
  }
  const ids = texts.map((text) => model.tokenizer?.encode(text));
  expect(JSON.parse(stdout)).toEqual({ ids, texts: expected, batch: expected });
  await model.dispose();
});
