/** Builds `manifest.json` (runtime/manifest.ts) from what the compile made. */
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import type { EmittedCode, PackageFile, Target, TargetVariant } from "../../targets/target.ts";
import {
  manifestFormat,
  manifestVersion,
  type Manifest,
  type MemoryMap,
  type PackedTensor,
  type WeightPart,
} from "../../runtime/manifest.ts";
import { manifestChecksum } from "../../runtime/manifest-parse.ts";
import type { ImportedModel, ModelFiles } from "../import/model.ts";
import type { Graph, Node } from "../graph/types.ts";
import type { PackedConstant } from "../plan/constants.ts";
import type { WeightPlace } from "../plan/plan.ts";
import type { Draft, VariantProgram } from "../pipeline.ts";
import { required } from "../errors.ts";

/** lfmc's own version: of the package.json nearest above, which is the project's from source and from dist alike. */
export const packageVersion: string = readVersion();

function readVersion(): string {
  const load = createRequire(import.meta.url);
  for (const path of ["../../package.json", "../../../package.json"]) {
    try {
      const json: unknown = load(path);
      if (typeof json === "object" && json !== null && "version" in json && typeof json.version === "string") return json.version;
    } catch {
      continue;
    }
  }
  return "0.0.0";
}

export interface ManifestInput {
  readonly model: ImportedModel;
  readonly name: string;
  readonly draft: Draft;
  readonly programs: readonly VariantProgram[];
  readonly memory: MemoryMap;
  readonly target: Target;
  readonly weights: ReadonlyMap<string, WeightPlace>;
  readonly region: { readonly parts: readonly WeightPart[]; readonly bytes: number; readonly sha256: string };
  readonly files: Readonly<Record<keyof ModelFiles, string | null>>;
  readonly code: readonly { readonly variant: TargetVariant; readonly code: EmittedCode }[];
}

export function buildManifest(input: ManifestInput): Manifest {
  const { model, name, draft, programs, memory, target, weights, region, files, code } = input;
  const { constants, numerics } = draft;
  const { program } = required(programs[0], "variant");
  const { limits } = program;
  const { config } = model;
  const manifest = {
    format: manifestFormat,
    version: manifestVersion,
    lfmc: packageVersion,
    name,
    target: target.name,
    model: {
      type: config.type,
      vocabSize: config.vocabSize,
      hiddenSize: config.hiddenSize,
      layers: config.layers.length,
      parameters: parameterCount(model.graph),
      experts: config.moe && { count: config.moe.expertCount, perToken: config.moe.expertsPerToken },
      hash: modelHash(region.sha256, program, numerics.kv),
    },
    limits,
    memory,
    variants: code.map(({ variant, code: { path, pieces, features } }) => ({
      name: variant.name,
      module: path,
      features,
      threads: variant.threads,
      bytes: pieces.reduce((sum, { length }) => sum + length, 0),
      sha256: sha256(...pieces),
    })),
    sources: [],
    weights: region.parts,
    tensors: constants.map((constant) => packedTensor(constant, weights)),
    quantization: { weights: weightsName(draft), activations: draft.graph.nodes.some(readsGroups) ? "q8" : "f32", kv: numerics.kv },
    sampling: model.sampling,
    tokens: model.tokens,
    files: { tokenizer: files.tokenizer, tokenizerConfig: files.tokenizerConfig, chatTemplate: files.chatTemplate },
  } as const;
  return { ...manifest, checksum: manifestChecksum(manifest) };
}

/** The manifest with the C files among `files` as its sources: what a library is built from must be what was written. */
export function withSources(manifest: Manifest, files: readonly PackageFile[]): Manifest {
  const sources = files.filter(({ path }) => /\.[ch]$/.test(path)).map(({ path, text }) => ({ path, sha256: sha256(text) }));
  return { ...manifest, sources, checksum: manifestChecksum({ ...manifest, sources }) };
}

/** `manifest.json`. */
export function manifestFile(manifest: Manifest): PackageFile {
  return { path: "manifest.json", text: `${JSON.stringify(manifest, null, 2)}\n` };
}

/** `q4_0`, `q4_0 but model.embed_tokens.*=q8_0`, `keep (q4_0, q8_0)`, `4.5 bits (q3_0, q4_0)`, each perhaps `, calibrated`. */
function weightsName({ numerics, constants, isCalibrated }: Draft): string {
  const { quant, tensorTypes, budget } = numerics;
  const matrices = new Set(constants.flatMap(({ form, encoding }) => (form.kind === "panels" ? [encoding] : [])));
  // Routers are matrices in f32, whatever is asked.
  const encodings = matrices.size === 1 ? [...matrices] : [...matrices].filter((encoding) => encoding !== "f32").toSorted();
  const formats = budget === undefined ? quant : `${budget} bits`;
  const named = budget === undefined && quant !== "keep" ? formats : `${formats} (${encodings.join(", ")})`;
  const exceptions = tensorTypes.length === 0 ? "" : ` but ${tensorTypes.join(", ")}`;
  return `${named}${exceptions}${isCalibrated ? ", calibrated" : ""}`;
}

/** Whether a node makes 8-bit activations. */
function readsGroups({ op, attributes }: Node): boolean {
  return op === "quantize" || attributes.quantize === true;
}

/** Numbers in all weights of a graph, as its model was imported. */
export function parameterCount({ constants }: Graph): number {
  return constants.reduce((sum, { sources }) => sum + sources.reduce((count, source) => count + elements(source), 0), 0);
}

function elements({ count, shape }: { readonly count: number; readonly shape: readonly number[] }): number {
  return count * (shape.at(-1) ?? 1);
}

function packedTensor({ name, sources, encoding, shape }: PackedConstant, weights: ReadonlyMap<string, WeightPlace>): PackedTensor {
  const { offset, bytes } = required(weights.get(name), `packed ${name}`);
  return { name, sources: sources.map(({ tensor }) => tensor), encoding, shape, offset, bytes };
}

/** What makes two artefacts give the same bits and hold sessions alike: the packed weights and the layout of a session's state. */
export function modelHash(
  weights: string,
  { limits, memory }: Pick<Manifest, "limits"> & { memory: Pick<MemoryMap, "state"> },
  kv: string,
): string {
  const { slotBytes, rings, checkpoints } = memory.state;
  const layout = {
    slotBytes,
    rings: rings.map(({ offset, rows, rowBytes, reads }) => ({ offset, rows, rowBytes, reads })),
    checkpoints: { bytes: checkpoints.bytes, interval: checkpoints.interval, offset: checkpoints.offset },
  };
  return sha256(JSON.stringify({ weights, kv, context: limits.context, rewind: limits.rewind, ...layout }));
}

/** Of pieces that follow one another. */
function sha256(...pieces: readonly (Uint8Array | string)[]): string {
  return pieces.reduce((hash, piece) => hash.update(piece), createHash("sha256")).digest("hex");
}
