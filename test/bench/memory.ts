/**
 * What the published shapes take in memory, and what they would take if every layer were attention. Only shapes are read: each number is
 * that of a plan, as `lfmc compile --dry-run` prints it.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { shapeOf } from "../../compiler/bench/shapes.ts";
import { parseConfig, type ModelConfig } from "../../compiler/import/config.ts";
import { draftPrograms, type Draft } from "../../compiler/pipeline.ts";
import { sessionBytes, type SessionBytes } from "../../compiler/plan/state.ts";
import { loadTarget } from "../../compiler/targets.ts";

const shapesFolder = fileURLToPath(new URL("../golden/data/shapes", import.meta.url));

/** Positions of a session, by what people call them. */
export const contexts = { "4k": 4096, "32k": 32768, "128k": 131072 } as const;

/** One plan: 4-bit weights, one session. */
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

/** A shape's `config.json`, as its release has it. */
export async function readShape(shape: string): Promise<Readonly<Record<string, unknown>>> {
  const json: unknown = JSON.parse(await readFile(join(shapesFolder, shape, "config.json"), "utf8"));
  return { ...(typeof json === "object" ? json : {}) };
}

/** A `config.json` with attention in place of each convolution. */
export function everyLayerAttention(json: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { layers } = parseConfig(json, "config.json").config;
  return { ...json, full_attn_idxs: undefined, layer_types: layers.map(() => "full_attention") };
}

/** The plans of a shape, and of the same config with attention in place of each convolution. */
export async function plansOf(shape: string): Promise<ShapePlans> {
  const json = await readShape(shape);
  const { config } = parseConfig(json, shape);
  const attentionAlone = parseConfig(everyLayerAttention(json), shape).config;
  const { layers, maxPositions } = config;
  const plans = [];
  for (const context of Object.values(contexts).map((positions) => Math.min(positions, maxPositions))) {
    plans.push({ ...planOf(await draftOf(config, context)), everyLayerAttention: planOf(await draftOf(attentionAlone, context)) });
  }
  return { shape, layers: layers.length, attentionLayers: layers.filter((kind) => kind === "attention").length, plans };
}

/** Of the portable C target, whose memory no shape is too large for; other targets differ in some megabytes of scratch alone. */
export async function draftOf(config: ModelConfig, context: number, kv: "f16" | "q8_0" = "f16"): Promise<Draft> {
  return draftPrograms(shapeOf("shape", config), await loadTarget("c"), { model: "shape", target: "c", context, quant: "q4_0", kv });
}

export function planOf({ memory, limits: { context } }: Draft): Plan {
  const weightBytes = memory.weights.bytes;
  return { context, weightBytes, session: sessionBytes(memory.state), totalBytes: memory.bytes + memory.threadBytes + weightBytes };
}
