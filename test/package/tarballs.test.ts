/**
 * What `npm pack` makes of lfmc and of artefacts, installed into empty folders: the command line compiles there, under the oldest Node too, and
 * an artefact runs as its own README says, on every host that reads files.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findBun, findDeno, findNode20, type Engine } from "../engines.ts";
import { demoFolder, root } from "../model/support.ts";

const run = promisify(execFile);
const folder = await mkdtemp(join(tmpdir(), "lfmc-package-"));
const project = join(folder, "project");
const lfmc = join(project, "node_modules", "lfmc");
const user = join(folder, "user");
const node: Engine = { available: true, path: process.execPath };

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Packs a package folder without running its scripts; returns the tarball's path and the files in it. */
async function pack(packageFolder: string): Promise<{ readonly path: string; readonly files: readonly string[] }> {
  const { stdout } = await run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], { cwd: packageFolder });
  const text = stdout.slice(stdout.indexOf("["));
  const [packed] = JSON.parse(text) as readonly { readonly filename: string; readonly files: readonly { readonly path: string }[] }[];
  return { path: join(folder, packed?.filename ?? ""), files: (packed?.files ?? []).map(({ path }) => path) };
}

/** The package, and beside it links to the packages of this checkout that it depends on: no network is needed. */
async function installLfmc(tarball: string): Promise<void> {
  await mkdir(lfmc, { recursive: true });
  await run("tar", ["xzf", tarball, "--strip-components=1", "-C", lfmc]);
  const { dependencies } = JSON.parse(await readFile(join(lfmc, "package.json"), "utf8")) as { readonly dependencies: object };
  for (const name of Object.keys(dependencies)) {
    const place = join(project, "node_modules", name);
    await mkdir(join(place, ".."), { recursive: true });
    await symlink(join(root, "node_modules", name), place, "dir");
  }
}

const cli = join(lfmc, "dist", "compiler", "cli.js");
let lfmcFiles: readonly string[] = [];

beforeAll(async () => {
  const packed = await pack(root);
  lfmcFiles = packed.files;
  await installLfmc(packed.path);
});

describe("lfmc's package", () => {
  test("has what users need and nothing else", () => {
    const outside = lfmcFiles.filter((path) => !path.startsWith("dist/"));
    expect(outside.toSorted()).toEqual(["LICENSE", "README.md", "package.json"]);
    expect(lfmcFiles.filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"))).toEqual([]);
    expect(lfmcFiles).toEqual(
      expect.arrayContaining(["runtime", "chat", "json-schema", "library", "thread"].map((name) => `dist/${name}.js`)),
    );
  });

  test.for<readonly [string, Engine]>([
    ["Node 20", findNode20()],
    ["this Node", node],
  ])("compiles, runs and verifies in an empty folder, under %s", async ([name, engine], context) => {
    if (!engine.available) return context.skip(engine.reason);
    const artefact = join(project, `demo ${name}`);
    const call = async (...args: readonly string[]): Promise<string> => (await run(engine.path, [cli, ...args], { cwd: project })).stdout;
    await call("compile", demoFolder, "--features", "simd128", "-o", artefact);
    const answer: unknown = JSON.parse(
      await call("run", artefact, "--prompt", "Emma", "--max-tokens", "4", "--temperature", "0", "--json"),
    );
    expect(answer).toMatchObject({ stopReason: "length", text: expect.stringMatching(/\w/) as string });
    expect(await call("verify", artefact)).toMatch(/^ok /);
  });

  test("has entries that import under the oldest Node", async (context) => {
    const engine = findNode20();
    if (!engine.available) return context.skip(engine.reason);
    const program = join(project, "entries.mjs");
    await writeFile(
      program,
      `import { compile } from "lfmc";
       import { LfmcError, load } from "lfmc/runtime";
       import { chat } from "lfmc/runtime/chat";
       import { jsonSchema } from "lfmc/runtime/json-schema";
       import { load as loadLibrary } from "lfmc/runtime/library";
       const model = { manifest: { model: { vocabSize: 2 } }, tokenizer: null };
       try { jsonSchema(model, {}); } catch (error) { console.log(error instanceof LfmcError, typeof compile, typeof load, typeof chat, typeof loadLibrary); }`,
    );
    expect((await run(engine.path, [program])).stdout).toBe("true function function function function\n");
  });
});

describe.each([
  ["shards", []],
  ["weights in its modules", ["--embed-weights", "--features", "simd128"]],
])("an artefact's package, with %s", (kind, flags) => {
  const name = `demo-${kind.replaceAll(" ", "-")}`;
  const artefact = join(folder, name);
  const installed = join(user, "node_modules", name);
  let readme = "";

  beforeAll(async () => {
    await run(process.execPath, [cli, "compile", demoFolder, "--name", name, "-o", artefact, ...flags]);
    const { path } = await pack(artefact);
    await mkdir(user, { recursive: true });
    await writeFile(join(user, "package.json"), '{ "private": true, "type": "module" }');
    await run("npm", ["install", "--offline", "--no-audit", "--no-fund", path], { cwd: user });
    readme = await readFile(join(installed, "README.md"), "utf8");
  });

  test("holds every file of the folder", async () => {
    expect((await readdir(installed, { recursive: true })).toSorted()).toEqual((await readdir(artefact, { recursive: true })).toSorted());
  });

  test.for<readonly [string, Engine, readonly string[]]>([
    ["Node 20", findNode20(), []],
    ["this Node", node, []],
    ["Deno", findDeno(), ["run", "--allow-read"]],
    ["Bun", findBun(), []],
  ])("runs as its README says in %s", async ([, engine, args], context) => {
    if (!engine.available) return context.skip(engine.reason);
    const [example = ""] = /(?<=```js\n)[^`]+/.exec(readme) ?? [];
    const program = join(user, `${name}.js`);
    await writeFile(program, `${example}import("${name}/chat").then(({ chat }) => console.log("", typeof chat));\n`);
    const { stdout, stderr } = await run(engine.path, [...args, program], { cwd: user });
    expect(stderr).toBe("");
    expect(stdout).toMatch(/\w[^]* function\n$/);
  });

  test("resolves its entries by name", () => {
    const { resolve } = createRequire(join(user, "program.js"));
    const files = ["", "/chat", "/json-schema", "/worker", "/manifest.json"].map((part) =>
      resolve(`${name}${part}`).slice(installed.length),
    );
    expect(files).toEqual(["/index.js", "/chat.js", "/json-schema.js", "/worker.js", "/manifest.json"]);
  });
});
