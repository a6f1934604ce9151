/** A model as a GGUF file: what is in it, known before any weight is read. */
import { required } from "../errors.ts";
import type { Graph } from "../graph/types.ts";
import type { ImportedModel } from "../import/model.ts";
import { elementCount } from "../import/weight-store.ts";
import { alignment, type GgufTensor, type Metadata } from "./gguf-file.ts";
import { metadataWarnings, modelMetadata, samplingMetadata } from "./model-metadata.ts";
import { ggufTensors } from "./tensors.ts";
import { tokenizerMetadata, type TokenizerFiles } from "./tokenizer-metadata.ts";

export interface ExportRequest {
  readonly model: Pick<ImportedModel, "name" | "config" | "sampling" | "tokens" | "store">;
  /** Null for a model without a tokenizer. */
  readonly tokenizer: TokenizerFiles | null;
  /** The model's graph, whose constants have the encodings chosen. */
  readonly graph: Graph;
  /** What the file calls the model. */
  readonly name: string;
}

export interface ExportPlan {
  readonly metadata: Metadata;
  readonly tensors: readonly GgufTensor[];
  readonly warnings: readonly string[];
}

/** llama.cpp's number for a file of mostly one type. */
const fileTypes: Readonly<Record<string, number>> = { F32: 0, F16: 1, Q4_0: 2, Q4_1: 3, Q8_0: 7, BF16: 32 };

/**
 * What the model's GGUF file holds. Throws config/unsupported for what it cannot say, config/invalid for a tokenizer that does not hold
 * together.
 */
export function planExport({ model, tokenizer, graph, name }: ExportRequest): ExportPlan {
  const { config, tokens } = model;
  const shape = modelMetadata(config, model.name);
  const texts = tokenizerMetadata(tokenizer, tokens, config.vocabSize);
  const tensors = ggufTensors(config, model.store, graph);
  const metadata: Metadata = {
    ...shape,
    "general.type": "model",
    "general.name": name,
    "general.file_type": required(fileTypes[mostlyOf(tensors)], "file type"),
    "general.quantization_version": quantizationVersion,
    "general.alignment": alignment,
    ...samplingMetadata(model.sampling),
    ...texts.metadata,
  };
  return { metadata, tensors, warnings: [...metadataWarnings(config, tokens), ...texts.warnings] };
}

/** Of ggml's blocks as they are now. */
const quantizationVersion = 2;

/** The type of most weights. */
function mostlyOf(tensors: readonly GgufTensor[]): string {
  const counts = new Map<string, number>();
  for (const { type, shape } of tensors) counts.set(type.name, (counts.get(type.name) ?? 0) + elementCount(shape));
  const [[most] = []] = [...counts].toSorted(([, a], [, b]) => b - a);
  return most ?? "F32";
}
