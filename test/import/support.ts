/** Golden folders, and safetensors files written by hand so that a test can damage any byte of them. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

export const goldenRoot = fileURLToPath(new URL("../golden/data/", import.meta.url));
export const denseCases = ["dense-tiny", "dense-odd", "dense-long", "dense-extra"] as const;
export const moeCases = ["moe-tiny", "moe-bias", "moe-plain", "moe-cold"] as const;
export const goldenCases = [...denseCases, ...moeCases] as const;

export type JsonObject = Record<string, unknown>;

/** A JSON object from a file of the golden data. */
export async function goldenJson(...path: readonly string[]): Promise<JsonObject> {
  const value: unknown = JSON.parse(await readFile(join(goldenRoot, ...path), "utf8"));
  if (typeof value !== "object" || value === null) throw new Error(`${path.join("/")} is not an object`);
  return { ...value };
}

/** An empty folder that is gone after the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lfmc-import-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Prefix, header and data as one file. `length` overrides the prefix's count. */
export function safetensors(header: JsonObject | string, data: Uint8Array, length?: bigint): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + text.length + data.length);
  new DataView(file.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  return file;
}

/** The bytes of 16-bit elements. */
export function bytesOf(values: ArrayLike<number> & Iterable<number>): Uint8Array {
  return new Uint8Array(Uint16Array.from(values).buffer);
}

/** Writes `file` into a temporary folder and returns its path. */
export async function written(file: Uint8Array, name = "model.safetensors"): Promise<string> {
  const path = join(await temporaryFolder(), name);
  await writeFile(path, file);
  return path;
}
