/**
 * What the published shapes take in memory, and what they would take if every layer were attention. Only shapes are read: each number is
 * that of a plan, as `lfmc compile --dry-run` prints it.
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compile } from "../../compiler/index.ts";
import { parseConfig } from "../../compiler/import/config.ts";
import { sessionBytes, type SessionBytes } from "../../compiler/plan/state.ts";

const shapesFolder = fileURLToPath(new URL("../golden/data/shapes", import.meta.url));

/** Positions of a session, by what people call them. */
export const contexts = { "4k": 4096, "32k": 32768, "128k": 131072 } as const;

/** One plan: 4-bit weights, an f16 cache, one session. */
export interface Plan {
  /** Positions: those asked for, or all that the model can have, where that is less. */
  readonly context: number;
  readonly weightBytes: number;
  readonly session: SessionBytes;
  /** Weights, session and what a forward call in one thread works in. */
  readonly totalBytes: number;
}

export interface ShapePlans {
  readonly shape: string;
  readonly layers: number;
  readonly attentionLayers: number;
  /** One for each of `contexts`. */
  readonly plans: readonly (Plan & { readonly everyLayerAttention: Plan })[];
}

/** The names of the shapes in test/golden/data. */
export async function shapeNames(): Promise<readonly string[]> {
  const entries = await readdir(shapesFolder, { withFileTypes: true });
  return entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
}

/** The plans of a shape, and of the same config with attention in place of each convolution, which is written to `folder`. */
export async function plansOf(shape: string, folder: string): Promise<ShapePlans> {
  const path = join(shapesFolder, shape, "config.json");
  const json: unknown = JSON.parse(await readFile(path, "utf8"));
  const { layers, maxPositions } = parseConfig(json, path).config;
  const known = typeof json === "object" ? json : {};
  const everyLayer = { ...known, full_attn_idxs: undefined, layer_types: layers.map(() => "full_attention") };
  const everyLayerPath = join(folder, `${shape}.json`);
  await writeFile(everyLayerPath, JSON.stringify(everyLayer));
  const plans = [];
  for (const context of Object.values(contexts).map((positions) => Math.min(positions, maxPositions))) {
    plans.push({ ...(await planOf(path, context)), everyLayerAttention: await planOf(everyLayerPath, context) });
  }
  return { shape, layers: layers.length, attentionLayers: layers.filter((kind) => kind === "attention").length, plans };
}

/** Of the portable C target, whose memory no shape is too large for; other targets differ in some megabytes of scratch alone. */
async function planOf(model: string, context: number): Promise<Plan> {
  const { memory } = await compile({ model, target: "c", context, quant: "q4_0", kv: "f16", dryRun: true });
  const weightBytes = memory.weights.bytes;
  return { context, weightBytes, session: sessionBytes(memory.state), totalBytes: memory.bytes + memory.threadBytes + weightBytes };
}
