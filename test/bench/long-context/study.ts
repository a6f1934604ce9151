/** The models of the study: each published shape, and beside it a plain-attention model of the same size. */
import { parameterCount } from "../../../compiler/artefact/manifest.ts";
import { shapeOf } from "../../../compiler/bench/shapes.ts";
import { parseConfig, type ModelConfig } from "../../../compiler/import/config.ts";
import { everyLayerAttention, readShape, shapeNames } from "../memory.ts";

/** Positions at which every model is planned, and measured where it can be. */
export const depths: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128].map((kilo) => kilo * 1024);
const context = 131072;
/** Feed-forward widths are multiples of it, as those of the releases are. */
const widthStep = 64;

/** The two kinds: the shape itself, and attention in every layer. */
export const kinds = ["ours", "plain"] as const;
export type Kind = (typeof kinds)[number];

export interface StudyModel {
  /** A `config.json`. */
  readonly json: Readonly<Record<string, unknown>>;
  readonly config: ModelConfig;
  readonly parameters: number;
}

export interface StudyShape extends Readonly<Record<Kind, StudyModel>> {
  /** The releases that have it. */
  readonly names: readonly string[];
}

/** All published shapes, the smallest first; releases that differ in nothing that a plan depends on are one. */
export async function studyShapes(): Promise<readonly StudyShape[]> {
  const shapes: StudyShape[] = [];
  for (const name of await shapeNames()) {
    const ours = modelOf({ ...(await readShape(name)), max_position_embeddings: context });
    const known = shapes.findIndex((shape) => sizesOf(shape.ours.config) === sizesOf(ours.config));
    const same = shapes[known];
    if (same) shapes[known] = { ...same, names: [...same.names, name] };
    else shapes.push({ names: [name], ours, plain: plainModel(ours) });
  }
  return shapes.toSorted((a, b) => a.ours.parameters - b.ours.parameters);
}

/** The model of a `config.json`. Throws what `parseConfig` throws. */
export function modelOf(json: Readonly<Record<string, unknown>>): StudyModel {
  const { config } = parseConfig(json, "config.json");
  return { json, config, parameters: parameterCount(shapeOf("shape", config).graph) };
}

/**
 * The model with attention in each layer, whose dense feed-forwards are as wide as it takes to have as many parameters. Convolutions have more than
 * attention of few key heads; of a mixture the dense layers make up for it, so that a token reads as many weights too.
 */
export function plainModel({ json, config, parameters }: StudyModel): StudyModel {
  const withWidth = (width: number): StudyModel =>
    modelOf({ ...everyLayerAttention(json), intermediate_size: width, block_ff_dim: undefined, block_auto_adjust_ff_dim: false });
  const width = config.feedForwardSize;
  const bare = withWidth(width).parameters;
  const perStep = withWidth(width + widthStep).parameters - bare;
  return withWidth(width + widthStep * Math.round((parameters - bare) / perStep));
}

/** What plans and times depend on, as text. */
function sizesOf({ tokens: _tokens, normEpsilon: _epsilon, ropeBase: _base, dtype: _dtype, ...sizes }: ModelConfig): string {
  return JSON.stringify(sizes);
}
