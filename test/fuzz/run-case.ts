/** One case in a folder: written, judged, and the base as it was again. */
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { compile } from "../../compiler/index.ts";
import { judge, type Verdict } from "./judge.ts";
import { randomOf } from "./random.ts";
import type { Case, OpenTarget } from "./target.ts";

/** The case that a target's name, a seed and a number fix. */
export function caseOf(target: OpenTarget, name: string, seed: number, index: number): Case {
  return target.make(randomOf(seed, index, ...new TextEncoder().encode(name)));
}

/** Gives the case to the target. */
export async function runCase(target: OpenTarget, base: string, one: Case): Promise<Verdict> {
  const path = join(base, one.path);
  const own = await readFile(path);
  await writeFile(path, one.bytes);
  try {
    return await judge(() => target.run(one));
  } finally {
    await writeFile(path, own);
  }
}

/**
 * Compiles the case's model whole, in a folder with other files around: nothing may change but the artefact, and a refusal leaves
 * not even that. null where the target's cases are of no model.
 */
export async function compileCase(target: OpenTarget, base: string, one: Case): Promise<Verdict | null> {
  const model = target.model(one);
  if (model === null) return null;
  const sandbox = join(base, "sandbox");
  await rm(sandbox, { recursive: true, force: true });
  await mkdir(join(sandbox, "out"), { recursive: true });
  await cp(join(base, model), join(sandbox, "in", model), { recursive: true });
  await writeFile(join(sandbox, "in", one.path), one.bytes);
  for (const folder of ["", "in", "out"]) await writeFile(join(sandbox, folder, "sentinel"), "untouched");
  const before = await contents(sandbox);
  const output = join(sandbox, "out", "artefact");
  const options = { target: "wasm-simd", features: ["simd128"], context: 16, maxMemory: 2 ** 24 } as const;
  const randomWeights = (await readdir(join(sandbox, "in", dirname(one.path)))).some((name) => /safetensors|gguf/.test(name))
    ? {}
    : { randomWeights: 1 };
  const verdict = await judge(() => compile({ model: join(sandbox, "in", model), output, ...options, ...randomWeights }), {
    seconds: 20,
    bytes: 500e6,
  });
  if (verdict.outcome === "accepted") await rm(output, { recursive: true });
  const after = await contents(sandbox);
  await rm(sandbox, { recursive: true, force: true });
  return { ...verdict, fault: verdict.fault ?? (after === before ? null : `files beside the artefact changed: ${after}`) };
}

/** Names and contents of all files below a folder, as a text. */
async function contents(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const lines = entries.map(async (entry) => {
    const path = join(entry.parentPath, entry.name);
    return entry.isFile()
      ? `${path} ${Buffer.from(await readFile(path))
          .toString("base64")
          .slice(0, 200)}`
      : path;
  });
  return (await Promise.all(lines)).toSorted().join("\n");
}
