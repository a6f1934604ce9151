/**
 * What `npm pack` makes of lfmc and of artefacts, installed into empty folders: the command line compiles there, under the oldest Node too, and
 * every program of an artefact's own README runs, on each host that reads files.
 */
import { execFile } from "node:child_process";
import { mkdir, readFile, readdir, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import * as v from "valibot";
import { beforeAll, describe, expect, test, type TestContext } from "vitest";
import { libraries, resolutions, typeFaults } from "../bindings/typecheck.ts";
import { findBun, findDeno, findNode20, type Engine } from "../engines.ts";
import { caseFolder } from "../golden/read.ts";
import { demoFolder, root, workFolder } from "../model/support.ts";

const run = promisify(execFile);
const folder = await workFolder();
/** The project that has lfmc among its packages. */
const project = join(folder, "project");
const lfmc = join(project, "node_modules", "lfmc");
const cli = join(lfmc, "dist", "compiler", "cli.js");
/** The project that has artefacts. */
const user = join(folder, "user");

const node: Engine = { available: true, path: process.execPath };
const hosts: readonly (readonly [host: string, engine: Engine, flags: readonly string[]])[] = [
  ["Node 20", findNode20(), []],
  ["this Node", node, []],
  ["Deno", findDeno(), ["run", "--allow-read", "--allow-ffi"]],
  ["Bun", findBun(), []],
];

/** The engine's path, or a skip of the test. */
function need(engine: Engine, context: TestContext): string {
  return engine.available ? engine.path : context.skip(engine.reason);
}

const packing = v.tuple([v.object({ filename: v.string(), files: v.array(v.object({ path: v.string() })) })]);

/** Packs a package's folder without running its scripts; the tarball's path and the files in it. */
async function pack(packageFolder: string): Promise<{ readonly path: string; readonly files: readonly string[] }> {
  const { stdout } = await run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], { cwd: packageFolder });
  const [{ filename, files }] = v.parse(packing, JSON.parse(stdout));
  return { path: join(folder, filename), files: files.map(({ path }) => path) };
}

/** The package, and beside it links to the packages of this checkout that it depends on: no network is needed. */
async function installLfmc(tarball: string): Promise<void> {
  await mkdir(lfmc, { recursive: true });
  await run("tar", ["xzf", tarball, "--strip-components=1", "-C", lfmc]);
  const text = await readFile(join(lfmc, "package.json"), "utf8");
  const { dependencies } = v.parse(v.object({ dependencies: v.record(v.string(), v.string()) }), JSON.parse(text));
  for (const name of Object.keys(dependencies)) await link(name, project);
}

/** A link to a package of this checkout, among those of a project. */
async function link(name: string, into: string): Promise<void> {
  const place = join(into, "node_modules", name);
  await mkdir(join(place, ".."), { recursive: true });
  await symlink(join(root, "node_modules", name), place, "dir");
}

async function call(engine: string, ...args: readonly string[]): Promise<string> {
  return (await run(engine, [cli, ...args], { cwd: project })).stdout;
}

/** A folder with the demo model, and a chat template, which it has none of. */
async function modelWithTemplate(): Promise<string> {
  const model = join(folder, "conversing");
  await mkdir(model);
  for (const name of ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
    await symlink(join(demoFolder, name), join(model, name));
  await writeFile(join(model, "chat_template.jinja"), "{% for message in messages %}{{ message.content }}\n{% endfor %}");
  return model;
}

/** Packs an artefact and installs it for the user; the README that is found there. */
async function install(artefact: string, packageName: string): Promise<string> {
  const { path } = await pack(artefact);
  await mkdir(user, { recursive: true });
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", path], { cwd: user });
  return await readFile(join(user, "node_modules", packageName, "README.md"), "utf8");
}

/** The programs of a README, in order. */
function programs(readme: string): readonly string[] {
  return [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map(([, program = ""]) => program);
}

/** What each program prints. */
async function outputs(readme: string, engine: string, flags: readonly string[]): Promise<readonly string[]> {
  const printed: string[] = [];
  for (const program of programs(readme)) {
    if (program.includes("/worker")) continue;
    await writeFile(join(user, "main.mjs"), program);
    const { stdout, stderr } = await run(engine, [...flags, "main.mjs"], { cwd: user });
    expect(stderr).toBe("");
    printed.push(stdout);
  }
  return printed;
}

let lfmcFiles: readonly string[] = [];

beforeAll(async () => {
  const packed = await pack(root);
  lfmcFiles = packed.files;
  await installLfmc(packed.path);
  await writeFile(join(project, "package.json"), '{ "type": "module" }');
});

describe("lfmc's package", () => {
  test("has what users need and nothing else", () => {
    const outside = lfmcFiles.filter((path) => !path.startsWith("dist/"));
    expect(outside.toSorted()).toEqual(["LICENSE", "README.md", "package.json"]);
    expect(lfmcFiles.filter((path) => /\.(ts|map|mjs)$/.test(path) && !path.endsWith(".d.ts"))).toEqual([]);
    const bundles = ["runtime", "chat", "json-schema", "library", "thread"].map((name) => `dist/${name}.js`);
    expect(lfmcFiles).toEqual(expect.arrayContaining([...bundles, "dist/targets/c/library/lfm.c"]));
  });

  test.for(hosts)("has entries that %s imports", async ([, engine, flags], context) => {
    const program = join(project, "entries.js");
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
    const { stdout } = await run(need(engine, context), [...flags, program], { cwd: project });
    expect(stdout).toBe("true function function function function\n");
  });

  const typed = `
import { compile, type CompileResult } from "lfmc";
import { load, type Model } from "lfmc/runtime";
import { templateOf } from "lfmc/runtime/chat";
import { jsonSchema } from "lfmc/runtime/json-schema";
import { load as loadLibrary } from "lfmc/runtime/library";
const { memory }: CompileResult = await compile({ model: "model", output: "artefact", target: "wasm-simd" });
const model: Model = await load({ base: new URL("file:///artefact/") });
export const all: readonly unknown[] = [memory.bytes, templateOf(model), jsonSchema(model, {}), loadLibrary];
`;
  test.each([
    ["nodenext", "node"],
    ["bundler", "dom"],
  ] as const)("has types under moduleResolution %s, with the libraries of %s", async (resolution, library) => {
    const faults = await typeFaults(project, { "typed.ts": typed }, { ...resolutions[resolution], ...libraries[library] }, ["valibot"]);
    expect([...faults]).toEqual([]);
  });
});

/** Compiled by the oldest Node where there is one: that it lacks relaxed SIMD must not matter to what it writes. */
const node20 = findNode20();
const oldest = node20.available ? node20.path : process.execPath;

const kinds: readonly (readonly [kind: string, name: string, engine: string, flags: readonly string[], model: () => Promise<string>])[] = [
  ["shards", "demo-shards", oldest, ["--features", "simd128,relaxed"], () => Promise.resolve(demoFolder)],
  [
    "weights in its modules and a chat template",
    "Demo.1",
    process.execPath,
    ["--embed-weights", "--features", "simd128"],
    modelWithTemplate,
  ],
];

describe.each(kinds)("an artefact's package, with %s", (_, name, engine, flags, model) => {
  const artefact = join(folder, `artefact ${name}`);
  const packageName = name.toLowerCase();
  const installed = join(user, "node_modules", packageName);
  let readme = "";

  beforeAll(async () => {
    await call(engine, "compile", await model(), "--name", name, "-o", artefact, ...flags);
    readme = await install(artefact, packageName);
  });

  test("holds every file of the folder, and the command line of another Node runs and verifies it", async () => {
    expect((await readdir(installed, { recursive: true })).toSorted()).toEqual((await readdir(artefact, { recursive: true })).toSorted());
    const other = engine === process.execPath ? oldest : process.execPath;
    const answer: unknown = JSON.parse(await call(other, "run", installed, "--prompt", "Emma", "--max-tokens", "4", "--json"));
    expect(answer).toMatchObject({ stopReason: "length" });
    const lines = (await call(other, "verify", installed)).trim().split("\n");
    expect(lines.filter((line) => !line.startsWith("ok "))).toEqual([]);
  });

  test.for(hosts)("runs as its README says in %s", async ([, host, hostFlags], context) => {
    const printed = await outputs(readme, need(host, context), hostFlags);
    expect(printed.length).toBe(readme.includes(`"${packageName}/chat"`) ? 3 : 2);
    for (const text of printed) expect(text).toMatch(/\w/);
    expect(printed.at(-1)).toMatch(/name: .*age: /s);
  });

  test("resolves its entries by name", () => {
    const { resolve } = createRequire(join(user, "program.js"));
    const files = ["", "/chat", "/json-schema", "/worker", "/manifest.json"].map((part) =>
      resolve(`${packageName}${part}`).slice(installed.length),
    );
    expect(files).toEqual(["/index.js", "/chat.js", "/json-schema.js", "/worker.js", "/manifest.json"]);
  });

  test("names every file in its README, and those alone", async () => {
    const [, table = ""] = /^## What is here$(.*?)^\| +\|/ms.exec(readme) ?? [];
    const named = [...table.matchAll(/`([\w.-]+)\/?`/g)].map(([, file = ""]) => file);
    const others = ["README.md", "package.json", "generation_config.json", "chat.d.ts", "json-schema.d.ts", "worker.d.ts"];
    const files = (await readdir(installed)).filter((file) => !others.includes(file));
    expect(named.toSorted()).toEqual(files.toSorted());
  });
});

test("the README's lines for an edge worker are what a bundler for workers takes", async () => {
  const readme = await readFile(join(user, "node_modules", "demo-shards", "README.md"), "utf8");
  const contents = programs(readme).find((program) => program.includes("demo-shards/worker")) ?? "";
  const { warnings, metafile } = await build({
    stdin: { contents, resolveDir: user },
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    platform: "neutral",
    conditions: ["workerd", "worker", "browser"],
    external: ["*.wasm"],
    logLevel: "silent",
  });
  expect(warnings).toEqual([]);
  const imports = Object.values(metafile.outputs).flatMap((output) => output.imports);
  expect(imports.map(({ path }) => basename(path))).toEqual(["model.simd128.wasm", "model.relaxed.wasm"]);
});

describe("a C artefact's package", () => {
  const artefact = join(folder, "artefact in C");
  let readme = "";

  beforeAll(async () => {
    await call(process.execPath, "compile", caseFolder("dense-tiny"), "--target", "c", "--name", "tiny-c", "-o", artefact);
    await run("make", ["-C", artefact, "build/libtiny-c.so", "CFLAGS=-O1"]);
    readme = await install(artefact, "tiny-c");
    await link("koffi", user);
  });

  test.for(hosts)("runs as its README says in %s, once it is built", async ([, host, hostFlags], context) => {
    const [printed = ""] = await outputs(readme, need(host, context), hostFlags);
    expect(printed).toMatch(/^(\d+\n)+$/);
  });
});
