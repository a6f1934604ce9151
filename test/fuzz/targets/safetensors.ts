/** Checkpoints, single and sharded: the import of a model, and every row of its weights. */
import { dirname, join } from "node:path";
import { importModel } from "../../../compiler/import/model.ts";
import { rowShape, type WeightStore } from "../../../compiler/import/weight-store.ts";
import { groupFormatNamed } from "../../../compiler/numeric/weight-groups.ts";
import { caseMaker, ofText, writeBase, type Mutator } from "../files.ts";
import { safetensorsOf, smallConfig, smallTensors } from "../models.ts";
import { mutateBytes } from "../mutate/bytes.ts";
import { mutateJson } from "../mutate/json.ts";
import type { Target } from "../target.ts";

const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] as const;

/** Changes the header and says how long it is then, or changes any bytes. */
const mutateFile: Mutator = (random, bytes) => {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (random.chance(1, 3)) return mutateBytes(random, bytes, random.chance(1, 4) ? bytes.length : 8 + length);
  const header = mutateJson(random, new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setBigUint64(0, BigInt(header.length + (random.chance(1, 20) ? random.below(3) - 1 : 0)), true);
  return Buffer.concat([prefix, header, bytes.subarray(8 + length)]);
};

export const safetensors: Target = {
  name: "safetensors",
  share: 4,
  async prepare(base) {
    const tensors = await smallTensors(base);
    const config = JSON.stringify(smallConfig);
    const half = tensors.length >> 1;
    const map = Object.fromEntries(tensors.map(({ name }, i) => [name, shards[i < half ? 0 : 1]]));
    await writeBase(base, {
      "f32/config.json": config,
      "f32/model.safetensors": safetensorsOf(tensors, "F32"),
      "bf16/config.json": config,
      "bf16/model.safetensors": safetensorsOf(tensors, "BF16"),
      "sharded/config.json": config,
      "sharded/model.safetensors.index.json": JSON.stringify({ metadata: { total_size: 1 }, weight_map: map }),
      [`sharded/${shards[0]}`]: safetensorsOf(tensors.slice(0, half), "BF16"),
      [`sharded/${shards[1]}`]: safetensorsOf(tensors.slice(half), "BF16"),
    });
  },
  async open(base) {
    const make = await caseMaker(base, [
      { path: "f32/model.safetensors", weight: 2, mutate: mutateFile },
      { path: "bf16/model.safetensors", weight: 3, mutate: mutateFile },
      { path: "sharded/model.safetensors.index.json", weight: 2, mutate: ofText(mutateJson) },
      { path: `sharded/${shards[1]}`, weight: 2, mutate: mutateFile },
    ]);
    return {
      make,
      async run({ path }) {
        const { store } = await importModel(join(base, dirname(path)));
        await readAll(store);
      },
      model: ({ path }) => dirname(path),
      close: () => Promise.resolve(),
    };
  },
};

/** Every row of every tensor, and its groups where the file has it in groups; closes the store, whatever happens. */
export async function readAll(store: WeightStore): Promise<void> {
  try {
    for (const { name, shape, keep } of store.tensors.values()) {
      const { rows } = rowShape(shape);
      const format = groupFormatNamed(keep);
      for (let at = 0; at < rows; at += 1024) {
        const count = Math.min(1024, rows - at);
        await store.readRows(name, at, count);
        if (format) await store.readGroups(name, format, at, count);
      }
    }
  } finally {
    await store.close();
  }
}
