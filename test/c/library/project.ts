/** A C project round the fake unit, its numbers those of a fake manifest, compiled as a user's compiler would. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "vitest";
import type { Manifest } from "../../../runtime/manifest.ts";
import { projectFiles, unitPath, withPrefix, type ProjectInput } from "../../../targets/c/project.ts";

/** weights.bin as the compiler writes it: what was packed, then the trailer. */
export function weightFile(packed: Uint8Array): { readonly bytes: Uint8Array; readonly sha256: string } {
  const bytes = new Uint8Array(packed.length + 64);
  bytes.set(packed);
  bytes.set(new TextEncoder().encode("LFMCWTS1"), packed.length);
  new DataView(bytes.buffer).setBigUint64(packed.length + 8, BigInt(bytes.length), true);
  const hash = createHash("sha256").update(packed);
  const digest = hash.digest();
  bytes.set(digest, packed.length + 16);
  return { bytes, sha256: digest.toString("hex") };
}

/** What the emitter would tell of the manifest. */
export function projectInput({ name, lfmc, model, limits, memory, tokens }: Manifest, weights: ProjectInput["weights"]): ProjectInput {
  const { type, parameters, vocabSize, hash } = model;
  return {
    name,
    variants: ["scalar"],
    model: { type, parameters, vocabSize, hash, eos: tokens.eos },
    limits,
    memory,
    threadBytes: 100,
    weights,
    lfmcVersion: lfmc,
  };
}

/** Writes the project with the fake unit and the test's driver into `folder`, and the weights beside them. */
export function writeProject(folder: string, manifest: Manifest): void {
  const weights = weightFile(Uint8Array.from({ length: 4096 }, (_, i) => (i * 7) % 256));
  const { name } = manifest;
  mkdirSync(folder, { recursive: true });
  const own = (path: string): string => withPrefix(readFileSync(new URL(path, import.meta.url), "utf8"), name);
  const files = projectFiles(projectInput(manifest, { bytes: weights.bytes.length, sha256: weights.sha256 }));
  for (const { path, text } of files) writeFileSync(join(folder, path), text);
  writeFileSync(join(folder, unitPath(name, "scalar")), own("fake_unit.c"));
  mkdirSync(join(folder, "test"));
  writeFileSync(join(folder, "test", "driver.c"), own("driver.c"));
  writeFileSync(join(folder, "weights.bin"), weights.bytes);
}

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. */
export function execute(program: string, args: readonly string[], folder?: string): Finished {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd: folder, encoding: "utf8" });
  if (error) throw error;
  return { status, stdout, stderr };
}

/** Skips the test where one of the programs cannot be started. */
export function needs(context: TestContext, ...programs: readonly string[]): void {
  for (const program of programs) if (spawnSync(program, ["--version"]).error) context.skip(`${program} is not installed`);
}
