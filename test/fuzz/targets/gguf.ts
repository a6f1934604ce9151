/** GGUF files: the import of a model, every row and every group of its weights, and its tokenizer. */
import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { checkTokenizer } from "../../../compiler/artefact/model-files.ts";
import { importModel } from "../../../compiler/import/model.ts";
import { ggufFile, oneLayerModel } from "../../import/gguf-support.ts";
import { caseMaker, writeBase } from "../files.ts";
import { goldenPath } from "../models.ts";
import { ggufMutator } from "../mutate/gguf.ts";
import type { Target } from "../target.ts";
import { readAll } from "./safetensors.ts";

/** Blocks of 256, of a model of a layer; the others are golden ones. */
const blockTypes = ["Q4_K", "Q5_K", "Q6_K"];
const golden = [
  ["dense-tiny", "Q4_0"],
  ["dense-tiny", "Q8_0"],
  ["moe-tiny", "Q4_0"],
] as const;
const pathOf = (name: string, type: string): string => `${name}/${type}.gguf`;

export const gguf: Target = {
  name: "gguf",
  share: 1,
  async prepare(base) {
    for (const type of blockTypes)
      await writeBase(base, { [pathOf("one-layer", type)]: ggufFile(oneLayerModel(type, new Uint8Array(144).fill(7))) });
    for (const [name, type] of golden) {
      await mkdir(join(base, name), { recursive: true });
      await copyFile(goldenPath(name, `model.${type}.gguf`), join(base, pathOf(name, type)));
    }
  },
  async open(base) {
    const mutate = ggufMutator();
    const make = await caseMaker(base, [
      ...blockTypes.map((type) => ({ path: pathOf("one-layer", type), weight: 1, mutate })),
      ...golden.map(([name, type]) => ({ path: pathOf(name, type), weight: 4, mutate })),
    ]);
    return {
      make,
      async run({ path }) {
        const { store, ...model } = await importModel(join(base, path));
        await readAll(store);
        await checkTokenizer(model);
      },
      model: ({ path }) => path,
      close: () => Promise.resolve(),
    };
  },
};
