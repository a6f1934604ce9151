/** A GGUF file, or the files of a split one, as the parts of a model that a folder would have: its config, its files and its weights. */
import { fileOfJson, type ModelFile } from "../model-file.ts";
import type { ModelConfig } from "../config.ts";
import { configOf, type GgufConfig } from "./config.ts";
import type { GgufTensor } from "./header.ts";
import { MetadataReader } from "./metadata.ts";
import { ggufName, openShards } from "./shards.ts";
import { GgufStore } from "./store.ts";
import { tokenizerOf } from "./tokenizer.ts";

export interface GgufModel extends GgufConfig {
  /** The file's, without its ending and its number. */
  readonly name: string;
  /** To be closed by the caller. */
  readonly store: GgufStore;
  /** Of a model with this config. Throws gguf/metadata. */
  readonly tokenizerOf: (config: ModelConfig) => GgufTokenizerFiles;
}

export interface GgufTokenizerFiles {
  readonly tokenizer: ModelFile | null;
  readonly tokenizerConfig: ModelFile | null;
  readonly warnings: readonly string[];
}

/** Opens the model at `path`. Throws gguf/*, config/unsupported, io/*; then nothing stays open. */
export async function openGguf(path: string): Promise<GgufModel> {
  const shards = await openShards(path);
  const store = new GgufStore(shards);
  try {
    // Split models have their metadata in the first file.
    const metadata = new MetadataReader(shards[0]?.header.metadata ?? new Map(), path);
    const tensors = new Map<string, GgufTensor>(shards.flatMap(({ header }) => header.tensors).map((tensor) => [tensor.name, tensor]));
    const tokenizerFiles = ({ vocabSize }: ModelConfig): GgufTokenizerFiles => {
      const { found, warnings } = tokenizerOf(metadata, vocabSize);
      if (found === null) return { tokenizer: null, tokenizerConfig: null, warnings };
      const tokenizer = fileOfJson("tokenizer.json", path, found.tokenizer);
      return { tokenizer, tokenizerConfig: fileOfJson("tokenizer_config.json", path, found.config), warnings };
    };
    return { ...configOf(metadata, tensors), name: ggufName(path), store, tokenizerOf: tokenizerFiles };
  } catch (error) {
    await store.close();
    throw error;
  }
}
