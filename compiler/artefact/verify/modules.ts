/**
 * The code: of a WebAssembly artefact every module, that it is what was compiled, asks for the planned memory, offers what the runtime calls and
 * uses nothing that its variant does not declare; of a C artefact every source.
 */
import { createHash } from "node:crypto";
import { detectFeatures } from "../../../runtime/features.ts";
import { isEmbedded, moduleLabel, moduleSection, type Manifest, type Variant } from "../../../runtime/manifest.ts";
import { mostThreads } from "../../../runtime/threads.ts";
import { memoryPages } from "../../../runtime/wasm-engine.ts";
import { LfmcError } from "../../errors.ts";
import { byteText, hashText, invalid, mismatch, ok, untilFault, type Finding, type Findings } from "./finding.ts";
import { findFile, readWhole } from "./files.ts";
import { MalformedModule, readModule, withoutData, type MemoryType, type ModuleFacts } from "./wasm-module.ts";

/** Engines take no larger module. */
const largestModule = 2 ** 30;
/** The most pages of a memory, by the width of its addresses. */
const mostPages = { narrow: 65536, wide: 262144 } as const;

/** Checks the sources of a C artefact and its units. */
export async function* checkSources(folder: string, { variants, sources }: Manifest): Findings {
  const units = variants.map(({ module, sha256, bytes }) => ({ path: module, sha256, bytes }));
  for (const source of [...sources, ...units]) yield* untilFault(checkSource(folder, source));
}

interface Source {
  readonly path: string;
  readonly sha256: string;
  readonly bytes?: number;
}

/** Throws io/missing, artefact/mismatch. */
async function* checkSource(folder: string, source: Source): Findings {
  const bytes = await readHashed(folder, source);
  yield ok(source.path, `${byteText(bytes.length)}, ${hashText(source.sha256)}`);
}

/**
 * Checks every module. Returns the sha256 of the weights that they hold, which are the same in all; null where they hold none, or where the first
 * is at fault.
 */
export async function* checkModules(folder: string, manifest: Manifest): AsyncGenerator<Finding, string | null, void> {
  let weights: string | null = null;
  for (const variant of manifest.variants) weights = (yield* untilFault(checkModule(folder, manifest, variant, weights))) ?? weights;
  return weights;
}

/**
 * Returns the sha256 of the weights in a module, which is to be that of `weights` where there is one; null where there are none. Throws io/missing,
 * artefact/mismatch where the file is not the manifest's, artefact/invalid where it is no module of this contract.
 */
async function* checkModule(
  folder: string,
  manifest: Manifest,
  variant: Variant,
  weights: string | null,
): AsyncGenerator<Finding, string | null, void> {
  const { module: path, sha256 } = variant;
  const bytes = await readHashed(folder, { path, ...variant });
  const facts = factsOf(path, bytes);
  checkMemoryType(facts, manifest, variant);
  const functions = [...(variant.threads ? threadedFunctions : ["forward"]), ...(isEmbedded(manifest) ? ["embed"] : [])].toSorted();
  const exported = [...facts.functions, ...facts.others].toSorted();
  if (exported.join() !== functions.join())
    throw invalid(path, `exports ${exported.join(", ") || "nothing"}, a module of this kind ${functions.join(", ")}`);
  const label = facts.texts.get(moduleSection);
  if (label !== moduleLabel(variant))
    throw invalid(
      path,
      `${label === undefined ? "does not say which variant it is" : `says that it is "${label}"`}, not "${moduleLabel(variant)}"`,
    );
  const found = weightsOf(facts, manifest, path);
  if (found !== null && weights !== null && found !== weights)
    throw mismatch(path, `holds weights of ${hashText(found)}, the module before it ${hashText(weights)}`);
  await checkInstructions(withoutData(bytes, facts), variant);
  const validated = checkValid(bytes, variant);
  const { minimum, maximum } = memoryTypeOf(manifest, variant);
  const pages = minimum === maximum ? `${minimum} pages` : `${minimum} to ${String(maximum)} pages`;
  yield ok(path, `${byteText(bytes.length)}, ${hashText(sha256)}, ${pages}, exports ${functions.join(", ")}; ${validated}`);
  return found;
}

const threadedFunctions = ["fail", "forward", "open", "serve", "stop"];

/** A file's bytes. Throws io/missing, artefact/mismatch for another length or hash than the manifest's. */
async function readHashed(folder: string, { path, sha256, bytes }: Source): Promise<Uint8Array<ArrayBuffer>> {
  const file = await findFile(folder, path);
  if (bytes !== undefined && file.bytes !== bytes)
    throw mismatch(path, `has ${byteText(file.bytes)}, the manifest says ${byteText(bytes)}`);
  if (file.bytes > largestModule) throw invalid(path, `has ${byteText(file.bytes)}, more than engines and compilers take`);
  const contents = await readWhole(file);
  const found = createHash("sha256").update(contents).digest("hex");
  if (found !== sha256) throw mismatch(path, `has ${hashText(found)}, the manifest says ${hashText(sha256)}`);
  return contents;
}

function factsOf(path: string, bytes: Uint8Array): ModuleFacts {
  try {
    return readModule(bytes);
  } catch (error) {
    if (error instanceof MalformedModule) throw invalid(path, error.message);
    throw error;
  }
}

/** The one import of a module: a memory from what one thread takes to what the most threads do. */
function memoryTypeOf({ memory }: Manifest, { threads, features }: Variant): MemoryType {
  const wide = features.includes("memory64");
  const most = memoryPages(memory, threads, threads ? mostThreads : 1);
  return { minimum: memoryPages(memory, threads, 1), maximum: Math.min(most, mostPages[wide ? "wide" : "narrow"]), shared: threads, wide };
}

function checkMemoryType({ imports }: ModuleFacts, manifest: Manifest, variant: Variant): void {
  const [only, ...more] = imports;
  if (only?.name !== "env.memory" || only.memory === null || more.length > 0)
    throw invalid(variant.module, `imports ${imports.map(({ name }) => name).join(", ") || "nothing"}, not env.memory alone`);
  const [found, planned] = [only.memory, memoryTypeOf(manifest, variant)].map(memoryText);
  if (found !== planned) throw invalid(variant.module, `imports ${String(found)}, the plan is ${String(planned)}`);
}

function memoryText({ minimum, maximum, shared, wide }: MemoryType): string {
  return `a${shared ? " shared" : ""} ${wide ? 64 : 32}-bit memory of ${minimum} to ${maximum ?? "any"} pages`;
}

/** The sha256 of the weights that a module holds; null where it is to hold none. */
function weightsOf({ data }: ModuleFacts, manifest: Manifest, path: string): string | null {
  const { bytes } = manifest.memory.weights;
  const segments = isEmbedded(manifest) ? 1 : 0;
  if (data.length !== segments) throw invalid(path, `has ${data.length} data segments, a module of this kind ${segments}`);
  const [weights] = data;
  if (!weights) return null;
  if (weights.length !== bytes) throw invalid(path, `holds ${byteText(weights.length)} of weights, their region has ${byteText(bytes)}`);
  return createHash("sha256").update(weights).digest("hex");
}

/** Throws artefact/invalid for an instruction of a feature that the variant does not declare. */
async function checkInstructions(bytes: Uint8Array, { module: path, features, threads }: Variant): Promise<void> {
  const { default: wabt } = await import("wabt");
  const tool = await wabt();
  try {
    const declared = {
      simd: features.includes("simd128"),
      relaxed_simd: features.includes("relaxed"),
      memory64: features.includes("memory64"),
    };
    tool.readWasm(bytes, { readDebugNames: false, threads, ...declared }).destroy();
  } catch (cause) {
    const [, reason = "it cannot be read"] = /error: (.*)/.exec(String(cause)) ?? [];
    throw new LfmcError("artefact/invalid", `is not made of what ${features.join(", ")} have: ${reason}`, {
      subject: path,
      hint: "compile the model again: the artefact was altered",
      cause,
    });
  }
}

/** What this engine says of the module. Throws artefact/invalid where it has all that the module needs, and refuses it. */
function checkValid(bytes: Uint8Array<ArrayBuffer>, { module: path, features }: Variant): string {
  const has = detectFeatures();
  const missing = features.filter((feature) => !has.has(feature));
  if (missing.length > 0) return `not validated: this engine lacks ${missing.join(", ")}`;
  if (!WebAssembly.validate(bytes)) throw invalid(path, "is not valid");
  return "valid";
}
