/**
 * C artefacts for tests: one round the fake unit of test/c, which behaves as the runtime's fake engine does and compiles in a second, and real
 * ones, whose builds are kept between runs of the tests by what they are built from.
 */
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { compile, type CompileOptions } from "../../compiler/index.ts";
import { buildLibrary } from "../../compiler/native/build.ts";
import { load, parseManifest, type LoadOptions, type Manifest, type Model } from "../../runtime/library/index.ts";
import { cPackageFiles } from "../../targets/c/package.ts";
import { isInstalled, toolchains } from "../bits/toolchains.ts";
import { writeProject } from "../c/library/project.ts";
import { root } from "../model/support.ts";
import { fakeManifest, sealed, weightPart, type FakeShape } from "../runtime/support.ts";

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Writes an artefact of the fake unit into `folder`, which must not exist; its library is not built. */
export function writeFakeArtefact(folder: string, shape: FakeShape = {}): Manifest {
  const fake = fakeManifest(shape);
  writeProject(folder, fake);
  const read = (path: string): Uint8Array => readFileSync(join(folder, path));
  const described = (path: string) => ({ path, bytes: read(path).length, sha256: sha256(read(path)) });
  const module = `${fake.name}_scalar.c`;
  const { bytes, sha256: unitHash } = described(module);
  const weights = [weightPart("weights.bin", read("weights.bin"))];
  const sources = readdirSync(folder).filter((path) => /\.[ch]$/.test(path) && path !== module);
  const manifest = sealed({
    ...fake,
    target: "c",
    memory: { ...fake.memory, pages: 0, threadBytes: 100, weights: { offset: 0, bytes: weights[0]?.bytes ?? 0 } },
    variants: [{ name: "scalar", module, features: [], threads: true, bytes, sha256: unitHash }],
    sources: sources.map((path) => ({ path, sha256: described(path).sha256 })),
    weights,
  });
  writeFileSync(join(folder, "manifest.json"), JSON.stringify(manifest));
  copyFileSync(join(root, "dist", "library.js"), join(folder, "runtime.js"));
  for (const { path, text } of cPackageFiles({ manifest, license: null, chatTemplate: null, weightsHash: "", python: false }))
    writeFileSync(join(folder, path), text);
  return manifest;
}

/** Builds an artefact's library, if need be, and opens it. */
export async function openNative(folder: string, options: Omit<LoadOptions, "base" | "library"> = {}): Promise<Model> {
  const manifest = parseManifest(JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")));
  const { path } = await buildLibrary(folder, manifest);
  return await load({ base: pathToFileURL(`${folder}/`), library: pathToFileURL(path), verify: true, ...options });
}

/**
 * Compiles a model for a C target. Its library is built in a cache that outlives the tests, because a compiler takes its time, by a quick compiler
 * unless CC says another.
 */
export async function compileNative(folder: string, options: Omit<CompileOptions, "output">): Promise<string> {
  process.env.XDG_CACHE_HOME = join(root, "node_modules", ".cache");
  // clang takes a quarter of gcc's time for portable code.
  if (isInstalled(toolchains.clang.compiler)) process.env.CC ??= toolchains.clang.compiler;
  await mkdir(process.env.XDG_CACHE_HOME, { recursive: true });
  await compile({ ...options, output: folder });
  // Where the folder has no room for a build, the cache has.
  await writeFile(join(folder, "build"), "");
  return folder;
}

/** Threads of this process, as Linux counts them; null elsewhere. */
export function threadsOfProcess(): number | null {
  return existsSync("/proc/self/task") ? readdirSync("/proc/self/task").length : null;
}
