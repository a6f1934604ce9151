/** config.json and generation_config.json: the import of a model whose weights are generated, and the plan of some of them. */
import { dirname, join } from "node:path";
import { importModel } from "../../../compiler/import/model.ts";
import { compile } from "../../../compiler/index.ts";
import { caseMaker, ofText, writeBase } from "../files.ts";
import { goldenText, smallConfig, smallGeneration } from "../models.ts";
import { mutateJson } from "../mutate/json.ts";
import type { Random } from "../random.ts";
import type { Target } from "../target.ts";

const shapes = ["LFM2-350M", "LFM2-1.2B", "LFM2-8B-A1B", "LFM2.5-230M"];
const folders = ["small", "legacy", "moe", ...shapes];

/** A plan takes fifty times as long as an import. */
const casesBetweenPlans = 32;

/** Limits of what a config may say, and some beyond. */
const extremes: Readonly<Record<string, readonly unknown[]>> = {
  vocab_size: [1, 2, 2 ** 22, 2 ** 22 + 1],
  hidden_size: [1, 2, 31, 33, 65536, 65537],
  num_hidden_layers: [1, 1024, 1025],
  layer_types: [null, new Array(1024).fill("full_attention"), new Array(1024).fill("conv"), ["conv"]],
  num_attention_heads: [1, 4096],
  num_key_value_heads: [1, 2, 4096],
  head_dim: [null, 2, 3, 4096],
  conv_L_cache: [2, 64, 65],
  intermediate_size: [1, 2 ** 20],
  block_auto_adjust_ff_dim: [true, null],
  block_ffn_dim_multiplier: [1e-3, 1e3, null],
  block_multiple_of: [1, 65536],
  max_position_embeddings: [1, 2 ** 30],
  num_experts: [1, 64, 4096],
  num_experts_per_tok: [1, 4096],
  moe_intermediate_size: [1, 2 ** 20],
  num_dense_layers: [0, 1024],
  norm_eps: [1e-30, 1, 0],
  rope_theta: [1, 1e12],
};

/** The config with a few of its sizes at their limits. */
function extreme(random: Random, text: string): string {
  const whole: unknown = JSON.parse(text);
  const changes = Array.from({ length: random.few() + 1 }, () => {
    const [key, options] = random.pick(Object.entries(extremes));
    return [key, random.pick(options)] as const;
  });
  return JSON.stringify({ ...(typeof whole === "object" ? whole : {}), ...Object.fromEntries(changes) });
}

export const config: Target = {
  name: "config",
  share: 3,
  async prepare(base) {
    const configs: Readonly<Record<string, string>> = {
      small: JSON.stringify(smallConfig),
      legacy: await goldenText("dense-tiny", "config.legacy.json"),
      moe: await goldenText("moe-tiny", "config.json"),
    };
    for (const folder of folders) {
      await writeBase(base, {
        [`${folder}/config.json`]: configs[folder] ?? (await goldenText("shapes", folder, "config.json")),
        [`${folder}/generation_config.json`]: JSON.stringify(smallGeneration),
      });
    }
  },
  async open(base) {
    const mutate = ofText(mutateJson);
    const make = await caseMaker(base, [
      ...folders.map((folder) => ({ path: `${folder}/config.json`, weight: 3, mutate })),
      ...["small", "moe"].map((folder) => ({ path: `${folder}/config.json`, weight: 4, mutate: ofText(extreme) })),
      { path: "small/generation_config.json", weight: 6, mutate },
    ]);
    return {
      make,
      async run({ path, bytes }) {
        const model = join(base, dirname(path));
        const { store } = await importModel(model, { randomWeights: 1 });
        await store.close();
        if (bytes.length % casesBetweenPlans > 0) return;
        await compile({ model, target: "wasm-simd", features: ["simd128"], context: 16, dryRun: true });
      },
      model: ({ path }) => dirname(path),
      close: () => Promise.resolve(),
    };
  },
};
