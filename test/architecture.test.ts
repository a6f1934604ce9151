/**
 * The architecture as a test: who may import whom, how long a file may be, and what no file may hold. Each check is first shown to fail on
 * a made-up file, so that an empty result means something.
 */

import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { importFaults } from "./architecture/import-rules.ts";
import type { SourceFile } from "./architecture/imports.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const mostLines = 400;
const ignoredFolders = new Set([".git", "node_modules", "dist", "build"]);
/** Spelt so that this file does not match them. */
const unfinished = /\b(?:TO{1}DO|FIX{1}ME)\b/;
const outside = new RegExp(String.raw`\.\./` + "shared");

function readFolder(folder: string, wanted: RegExp): readonly SourceFile[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return ignoredFolders.has(entry.name) ? [] : readFolder(path, wanted);
    return entry.isFile() && wanted.test(entry.name) && statSync(join(root, path)).size < 2 ** 20
      ? [{ path, text: readFileSync(join(root, path), "utf8") }]
      : [];
  });
}

function longFiles(files: readonly SourceFile[]): readonly string[] {
  return files.filter(({ text }) => text.split("\n").length - 1 > mostLines).map(({ path }) => path);
}

function matching(files: readonly SourceFile[], pattern: RegExp): readonly string[] {
  return files.filter(({ text }) => pattern.test(text)).map(({ path }) => path);
}

const product = ["compiler", "runtime", "targets"].flatMap((folder) => readFolder(folder, /\.ts$/));
const examples = readFolder("examples", /\.ts$/);
const sources = [...product, ...examples, ...readFolder("test", /\.[jt]s$/)];
const texts = readFolder("", /(?<!\.safetensors)$/);

describe("imports", () => {
  it.each([
    ["compiler/graph/a.ts", 'import { b } from "../kernel/ir.ts";', "compiler/kernel/ir.ts (value)"],
    ["compiler/kernel/a.ts", 'export * from "../graph/types.ts";', "compiler/graph/types.ts (value)"],
    ["compiler/passes/a.ts", 'import type { A } from "../plan/program.ts";', "compiler/plan/program.ts (types)"],
    ["compiler/plan/a.ts", 'import { atoms } from "../../targets/wasm/atoms.ts";', "targets/wasm/atoms.ts (value)"],
    ["compiler/numeric/a.ts", 'import { internal } from "../errors.ts";', "compiler/errors.ts (value)"],
    ["compiler/index.ts", 'import * as v from "valibot";', "valibot (value)"],
    ["compiler/commands/run.ts", 'import wabt from "wabt";', "wabt (value)"],
    ["targets/wasm/lower.ts", 'import binaryen from "binaryen";', "binaryen (value)"],
    ["targets/wasm/lower.ts", 'import { type Program } from "../../compiler/plan/program.ts";', "compiler/plan/program.ts (value)"],
    ["targets/wasm/lower.ts", 'import type { Graph } from "../../compiler/graph/types.ts";', "compiler/graph/types.ts (types)"],
    ["runtime/weights.ts", 'import { readFile } from "node:fs/promises";', "node:fs/promises (value)"],
    ["runtime/weights.ts", 'const a = await import("koffi");', "koffi (dynamic)"],
    ["runtime/weights.ts", 'type A = import("../compiler/errors.ts").ErrorCode;', "compiler/errors.ts (types)"],
    ["examples/a.ts", 'import { foldConstants } from "../compiler/passes/fold.ts";', "compiler/passes/fold.ts (value)"],
    ["compiler/new/a.ts", "", "belongs to no area"],
  ])("in %s, %s is refused", (path, text, fault) => {
    expect(importFaults({ path, text })).toEqual([expect.stringContaining(fault)]);
  });

  it.each([
    ["targets/wasm/assembler.ts", 'import binaryen from "binaryen";'],
    ["targets/wasm/lower.ts", 'import type { Program } from "../../compiler/plan/program.ts";'],
    ["runtime/weights.ts", 'const { readFile } = await import("node:fs/promises");'],
    ["compiler/pipeline.ts", 'import { wasm } from "../targets/wasm/package.ts";'],
  ])("in %s, %s is allowed", (path, text) => {
    expect(importFaults({ path, text })).toEqual([]);
  });

  it("follow the table everywhere", () => {
    expect(product.length).toBeGreaterThan(50);
    expect([...product, ...examples].flatMap(importFaults)).toEqual([]);
  });
});

describe("files", () => {
  it(`of the product hold at most ${String(mostLines)} lines`, () => {
    expect(longFiles([{ path: "long.ts", text: "\n".repeat(mostLines + 1) }])).toEqual(["long.ts"]);
    expect(longFiles(product)).toEqual([]);
  });

  it("hold no reminders of unfinished work", () => {
    expect(matching([{ path: "a.ts", text: `// ${["TO", "DO"].join("")}: later` }], unfinished)).toEqual(["a.ts"]);
    expect(matching(sources, unfinished)).toEqual([]);
  });

  it("refer to nothing outside the repository", () => {
    expect(matching([{ path: "a.md", text: `see ${["..", "shared"].join("/")}/x` }], outside)).toEqual(["a.md"]);
    const paths = new Set(texts.map(({ path }) => path));
    expect(["README.md", ".ci/run", "compiler/errors.ts", "package.json"].filter((path) => !paths.has(path))).toEqual([]);
    expect(matching(texts, outside)).toEqual([]);
  });
});
