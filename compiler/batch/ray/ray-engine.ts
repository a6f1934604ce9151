/**
 * Ray: the artefact's Python package in as many workers as a cluster has room for. Scheduling, retries and transport are Ray's; the program that asks
 * for them is `python/driver.py`.
 */
import { access } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { libraryOf, verifyFiles } from "../../commands/open-artefact.ts";
import { LfmcError, required } from "../../errors.ts";
import type { Manifest } from "../../../runtime/index.ts";
import { moduleName } from "../../../targets/c/python-project.ts";
import type { BatchEngine, BatchRequest, BatchSettings, EngineOptions, OpenEngine } from "../engine.ts";
import { DriverProcess } from "./driver-process.ts";

/** Requests that travel together: enough that a worker's sessions are all busy for most of the time. */
const leastChunk = 64;
const chunkPerSession = 8;

/**
 * Joins a cluster, or starts one here. Throws run/input and io/missing for an artefact that has no Python package, native/machine where Python,
 * Ray or the cluster is not there, and what the artefact's library and files do.
 */
export async function openRayEngine(options: EngineOptions): Promise<OpenEngine> {
  const { folder, manifest, threads, variant, address = "local", workers, note } = options;
  const parts = await partsOf(resolve(folder), manifest);
  const driver = new DriverProcess(note);
  try {
    const chunk = Math.max(leastChunk, chunkPerSession * manifest.limits.sessions);
    await driver.send({ ...parts, variant: variant ?? null, threads: threads ?? null, workers: workers ?? null, address, chunk });
    const ready = await driver.ready();
    note(`Ray (${address}): ${ready.workers} x ${ready.threads} threads`);
    return { run: rayEngine(driver, manifest.tokens.eos), ahead: ready.ahead, close: () => driver.close() };
  } catch (error) {
    await driver.close();
    throw error;
  }
}

/** What a worker is made of: paths. */
interface WorkerParts {
  readonly package: string;
  /** What the package finds beside itself. */
  readonly files: readonly string[];
  readonly weights: string;
}

async function partsOf(folder: string, manifest: Manifest): Promise<WorkerParts> {
  const hint = "compile with --target c --python: Ray's workers are Python";
  if (manifest.target === "wasm-simd") throw new LfmcError("run/input", "is a WebAssembly artefact", { subject: folder, hint });
  const parts = join(folder, "python", moduleName(manifest.name));
  await access(join(parts, "__init__.py")).catch((cause: unknown) => {
    throw new LfmcError("io/missing", "has no Python package", { subject: folder, hint, cause });
  });
  await verifyFiles(folder, manifest);
  const library = fileURLToPath(await libraryOf(folder, manifest));
  const texts = [manifest.files.tokenizer, manifest.files.tokenizerConfig].filter((file) => file !== null);
  const weights = required(manifest.weights[0], "weights").path;
  return { package: parts, files: [library, ...texts.map((file) => join(folder, file))], weights: join(folder, weights) };
}

/** Generates with a driver that is ready; `eos` ends a completion unless that is to be ignored. */
export function rayEngine(driver: DriverProcess, eos: readonly number[]): BatchEngine {
  return async function* (requests, settings) {
    const faults: unknown[] = [];
    const endTokens = settings.ignoreEos ? [] : eos;
    sendAll(driver, requests, settings, endTokens).catch((error: unknown) => {
      faults.push(error);
      // So that the answers end, too.
      void driver.close();
    });
    try {
      yield* driver.answers();
    } catch (error) {
      throw faults.length > 0 ? faults[0] : error;
    }
  };
}

async function sendAll(
  driver: DriverProcess,
  requests: AsyncIterable<BatchRequest>,
  settings: BatchSettings,
  eos: readonly number[],
): Promise<void> {
  await driver.send(optionsOf(settings));
  for await (const { endTokens, ...request } of requests) await driver.send({ ...request, endTokens: [...eos, ...endTokens] });
  await driver.endRequests();
}

/** As Python's `complete_batch` has them. */
function optionsOf({ temperature, topK, topP, minP, repetitionPenalty, ignoreEos, stop }: BatchSettings): object {
  return { temperature, top_k: topK, top_p: topP, min_p: minP, repetition_penalty: repetitionPenalty, ignore_eos: ignoreEos, stop };
}
