/** The planned part of the study: memory to the byte at each depth, and what a token reads. */
import { tokenCost, type TokenCost } from "../../../compiler/bench/token-cost.ts";
import type { MoeConfig } from "../../../compiler/import/config.ts";
import type { Draft } from "../../../compiler/pipeline.ts";
import { packedBytes } from "../../../compiler/plan/constants.ts";
import { required } from "../../../compiler/errors.ts";
import { draftOf, planOf } from "../memory.ts";
import type { DepthPlan, ModelFigures, ShapeFigures } from "./figures.ts";
import { depths, type StudyModel, type StudyShape } from "./study.ts";

/** The figures of a shape of which nothing was measured yet. */
export async function planShape({ names, ours, plain }: StudyShape): Promise<ShapeFigures> {
  return { names, models: { ours: await planModel(ours), plain: await planModel(plain) } };
}

/** Plans a model at `contexts`, of which there is one at least. */
export async function planModel({ config, parameters }: StudyModel, contexts = depths): Promise<ModelFigures> {
  const plans: DepthPlan[] = [];
  const costs: TokenCost[] = [];
  for (const depth of contexts) {
    const draft = await draftOf(config, depth);
    const { session, totalBytes } = planOf(draft);
    const narrow = planOf(await draftOf(config, depth, "q8_0")).session;
    plans.push({ depth, sessionBytes: session.bytes, narrowSessionBytes: narrow.bytes, totalBytes });
    costs.push(costOf(draft, config.moe));
  }
  const { layers, feedForwardSize } = config;
  const attentionLayers = layers.filter((kind) => kind === "attention").length;
  const sizes = { parameters, layers: layers.length, attentionLayers, feedForwardSize };
  return { ...sizes, cost: required(costs[0], "context"), plans, measured: [] };
}

/** What a token costs by a draft, as by the manifest that it would become. */
function costOf({ constants, numerics: { kv } }: Draft, moe: MoeConfig | null): TokenCost {
  const experts = moe && { count: moe.expertCount, perToken: moe.expertsPerToken };
  const tensors = constants.map(({ name, sources, encoding, shape, form }) => {
    return { name, sources: sources.map(({ tensor }) => tensor), encoding, shape, offset: 0, bytes: packedBytes(form) };
  });
  return tokenCost({ model: { experts }, tensors, quantization: { weights: "q4_0", activations: "q8", kv } });
}
