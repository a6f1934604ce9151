/**
 * An artefact as a package: which entry each host's condition leads to, by the resolver of a bundler and by the engines themselves, and
 * that the entries hold together when they are bundled.
 */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { beforeAll, describe, expect, test } from "vitest";
import * as v from "valibot";
import { findBun, findDeno, findNode20, type Engine } from "../engines.ts";
import { caseFolder } from "../golden/read.ts";
import { compileTo, oneThread, workFolder } from "../model/support.ts";

/** A project that has the artefact among its packages. */
const project = await workFolder();
const artefact = join(project, "node_modules", "tiny");

const packageJson = v.object({
  sideEffects: v.literal(false),
  exports: v.record(v.string(), v.union([v.string(), v.record(v.string(), v.string())])),
});
let description: v.InferOutput<typeof packageJson>;

beforeAll(async () => {
  await mkdir(join(project, "node_modules"));
  await compileTo(artefact, { model: caseFolder("dense-tiny"), context: 32, name: "tiny", features: oneThread });
  description = v.parse(packageJson, JSON.parse(readFileSync(join(artefact, "package.json"), "utf8")));
  await writeFile(join(project, "package.json"), JSON.stringify({ name: "project", type: "module" }));
  await writeFile(join(project, "main.js"), script);
});

test("every path of package.json exists, and types come first", () => {
  const entries = Object.entries(description.exports).filter(([name]) => !name.includes("*"));
  expect(entries.map(([name]) => name)).toEqual(expect.arrayContaining([".", "./worker", "./chat", "./json-schema"]));
  for (const [name, entry] of entries) {
    const conditions: readonly (readonly [string, string])[] = typeof entry === "string" ? [["default", entry]] : Object.entries(entry);
    if (conditions.length > 1) expect(conditions[0]?.[0], name).toBe("types");
    expect(conditions.at(-1)?.[0], name).toBe("default");
    for (const [condition, path] of conditions) expect(existsSync(join(artefact, path)), `${name} ${condition}: ${path}`).toBe(true);
  }
});

/** Files of the artefact that a program needs which imports `specifier`, as a bundler for hosts with these conditions finds them. */
async function bundled(specifier: string, conditions: readonly string[]): Promise<readonly string[]> {
  const { metafile, warnings } = await build({
    stdin: { contents: `export * from ${JSON.stringify(specifier)};`, resolveDir: project },
    absWorkingDir: project,
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    platform: "neutral",
    conditions: [...conditions],
    external: ["*.wasm", "*.wasm?module"],
    logLevel: "silent",
  });
  expect(warnings).toEqual([]);
  const imports = Object.values(metafile.outputs).flatMap((output) => output.imports);
  const inputs = Object.keys(metafile.inputs).filter((path) => path !== "<stdin>");
  return [...inputs.map((path) => relative(artefact, join(project, path))), ...imports.map(({ path }) => basename(path))].toSorted();
}

describe("a bundler for", () => {
  const common = ["index.js", "runtime.js"];
  const worker = ["manifest.json", "model.relaxed.wasm", "model.simd128.wasm", "runtime.js", "worker.js"];
  test.for<readonly [host: string, conditions: readonly string[], files: readonly string[]]>([
    ["Cloudflare's workers", ["workerd", "worker", "browser"], worker],
    ["other workers", ["worker"], worker],
    [
      "Vercel's edge",
      ["edge-light", "worker", "browser"],
      ["edge-light.js", "manifest.json", "model.relaxed.wasm?module", "model.simd128.wasm?module", "runtime.js"],
    ],
    ["Deno", ["deno", "node", "import"], common],
    ["Bun", ["bun", "node", "import"], common],
    ["Node", ["node", "import"], common],
    ["pages", ["browser", "import"], common],
    ["anything else", [], common],
  ])("%s finds its entry", async ([, conditions, files]) => {
    expect(await bundled("tiny", conditions)).toEqual(files);
  });

  test("any of them finds the parts", async () => {
    for (const conditions of [[], ["workerd", "worker", "browser"], ["node"]]) {
      expect(await bundled("tiny/worker", conditions)).toEqual(worker);
      expect(await bundled("tiny/chat", conditions)).toEqual(["chat.js", "runtime.js"]);
      expect(await bundled("tiny/json-schema", conditions)).toEqual(["json-schema.js", "runtime.js"]);
    }
  });
});

const script = `
import { load } from "tiny";
import { chat } from "tiny/chat";
import { jsonSchema } from "tiny/json-schema";
const model = await load();
const { tokens } = await model.createSession().complete([1, 2, 3], { maxTokens: 4, temperature: 0, ignoreEos: true });
await model.dispose();
console.log(JSON.stringify({ tokens: tokens.length, chat: typeof chat, jsonSchema: typeof jsonSchema }));
`;

describe("by its name", () => {
  test.for<readonly [host: string, find: () => Engine, args: readonly string[]]>([
    ["Node 20", findNode20, []],
    ["Node 26", () => ({ available: true, path: process.execPath }), []],
    ["Deno", findDeno, ["run", "--no-prompt", "--allow-read"]],
    ["Bun", findBun, []],
  ])("%s imports it", async ([, find, args], context) => {
    const engine = find();
    if (!engine.available) return context.skip(engine.reason);
    const { stdout, stderr } = await promisify(execFile)(engine.path, [...args, join(project, "main.js")]);
    expect(stderr).toBe("");
    expect(JSON.parse(stdout)).toEqual({ tokens: 4, chat: "function", jsonSchema: "function" });
  });
});
