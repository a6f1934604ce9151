/**
 * The tensors of a GGUF file and where in the checkpoint their rows lie: names as llama.cpp has them, all experts of a layer in one tensor,
 * the convolution's taps without their middle axis.
 */
import { LfmcError, required } from "../errors.ts";
import type { Encoding, Graph, TensorSlice } from "../graph/types.ts";
import type { ModelConfig } from "../import/config.ts";
import { ggufPlaceOf, isTaps } from "../import/gguf/tensor-names.ts";
import { readStackedGroups, readStackedRows, type RowSource } from "../import/read-constant.ts";
import { expectedTensors, expertLayout } from "../import/tensor-names.ts";
import { rowShape, type TensorInfo, type WeightStore } from "../import/weight-store.ts";
import { groupSize } from "../numeric/quantize.ts";
import { groupFormatNamed } from "../numeric/weight-groups.ts";
import { blocksOf, floatBytes, isFloat, typeOf } from "./blocks.ts";
import type { GgufTensor } from "./gguf-file.ts";

/** Weights read at a time. */
const pieceLength = 1 << 20;

/**
 * Every tensor of the model, in layer order, in the encodings that the graph's constants have. Throws config/unsupported where rows are no
 * whole groups; `pieces` throw what the store does, and weights/value for scales beyond f16.
 */
export function ggufTensors(config: ModelConfig, store: WeightStore, { constants }: Graph): readonly GgufTensor[] {
  const encodings = new Map(constants.flatMap(({ sources, type }) => sources.map(({ tensor }) => [tensor, type.encoding] as const)));
  const parts = new Map<string, Part[]>();
  for (const part of expectedTensors(config, expertLayout(store.tensors)).flatMap((tensor) => partsOf(tensor, config))) {
    parts.set(part.name, [...(parts.get(part.name) ?? []), part]);
  }
  return [...[...parts.values()].map((of) => tensorOf(of, store, encodings)), ...missingBiases(config)];
}

/** Rows of a checkpoint's tensor, and the tensor of the GGUF file that they are part of. */
interface Part {
  readonly name: string;
  readonly slice: TensorSlice;
  /** An expert's matrix: the file's tensor has one axis more. */
  readonly isExpert: boolean;
}

function partsOf({ name, shape }: TensorInfo, { moe }: ModelConfig): readonly Part[] {
  const part = (tensor: string, start: number, count: number): Part => {
    const place = required(ggufPlaceOf(tensor), `GGUF name of ${tensor}`);
    return { name: place.name, slice: { tensor: name, shape, start, count }, isExpert: place.expert !== null };
  };
  const { rows } = rowShape(shape);
  const [, experts, matrix] = /^(.+\.experts)\.(gate_up_proj|down_proj)$/.exec(name) ?? [];
  if (experts === undefined || !moe) return [part(name, 0, rows)];
  // One below the other: of each expert w1 and w3, or w2.
  const matrices = matrix === "down_proj" ? ["w2"] : ["w1", "w3"];
  const count = rows / moe.expertCount / matrices.length;
  return Array.from({ length: moe.expertCount }, (_, expert) => expert).flatMap((expert) =>
    matrices.map((which, i) => part(`${experts}.${expert}.${which}.weight`, (expert * matrices.length + i) * count, count)),
  );
}

function tensorOf(parts: readonly Part[], store: RowSource, encodings: ReadonlyMap<string, Encoding>): GgufTensor {
  const { name, slice, isExpert } = required(parts[0], "part of a tensor");
  const sources = parts.map((part) => part.slice);
  const width = slice.shape.at(-1) ?? 1;
  const encoding = encodings.get(slice.tensor) ?? "f32";
  if (!isFloat(encoding) && width % groupSize !== 0) refuseWidth(slice.tensor, width, encoding);
  const whole = isTaps(slice.tensor) ? [slice.count, width] : slice.shape;
  const shape = isExpert ? [parts.length, slice.count, width] : whole;
  return { name, shape, type: typeOf(encoding), pieces: () => piecesOf(sources, encoding, width, store) };
}

async function* piecesOf(sources: readonly TensorSlice[], encoding: Encoding, width: number, store: RowSource): AsyncGenerator<Uint8Array> {
  const rows = sources.reduce((sum, { count }) => sum + count, 0);
  const step = Math.max(1, Math.floor(pieceLength / width));
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row);
    if (isFloat(encoding)) {
      yield floatBytes(encoding, await readStackedRows(store, sources, row, count));
      continue;
    }
    const format = required(groupFormatNamed(encoding), `groups of ${encoding}`);
    const groups = await readStackedGroups(store, sources, format, row, count);
    yield blocksOf(format.name, groups, width, required(sources[0], "source").tensor);
  }
}

/** llama.cpp asks for a bias where the model has none. */
function missingBiases({ layers, moe }: ModelConfig): readonly GgufTensor[] {
  if (!moe || moe.expertBias) return [];
  const { denseLayers, expertCount } = moe;
  return layers.flatMap((_, layer) => {
    const name = `blk.${layer}.exp_probs_b.bias`;
    return layer < denseLayers
      ? []
      : [{ name, shape: [expertCount], type: typeOf("f32"), pieces: () => [new Uint8Array(4 * expertCount)] }];
  });
}

function refuseWidth(tensor: string, width: number, encoding: Encoding): never {
  const fact = `has rows of ${width} weights, which are no whole groups of ${groupSize}; a GGUF file cannot hold them as ${encoding}`;
  throw new LfmcError("config/unsupported", fact, { subject: tensor, hint: `export it in another format: --tensor-type '${tensor}=f16'` });
}
