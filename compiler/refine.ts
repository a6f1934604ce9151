/**
 * Between import and pipeline: the model with its groups rounded for the text of `--calibrate`, and the formats that `--budget` chose. A budget
 * without a text takes one that the model writes itself.
 */
import { totalmem } from "node:os";
import { openTokenizer } from "./artefact/model-files.ts";
import { LfmcError } from "./errors.ts";
import type { ImportedModel } from "./import/model.ts";
import { readText, readTokenList } from "./import/text-file.ts";
import type { NumericOptions } from "./options.ts";
import { f32Bytes } from "./kernel/library/lanes.ts";
import { freeMatrices, parseTensorType, type WeightFormat } from "./passes/index.ts";
import { groupFormatNamed, type GroupFormat } from "./numeric/weight-groups.ts";
import { preparedGraph } from "./pipeline.ts";
import { budgetFormats, improve, weightCount, type OnProgress } from "./quantize/index.ts";

/** A model whose store gives the groups to pack. */
export interface RefinedModel extends ImportedModel {
  /** By checkpoint tensor, of the matrices whose formats a budget chose. */
  readonly formats: ReadonlyMap<string, WeightFormat>;
  /** What was chosen, in words. */
  readonly choices: readonly string[];
  /** Whether any matrix is rounded for a text. */
  readonly isCalibrated: boolean;
}

/**
 * Refines a model as it was imported; without `calibrate` and `budget` it stays as it is. A budget chooses among `formats`, the smallest first.
 * Throws usage/flag for a budget that cannot be met, run/input for a text that cannot be used, plan/memory where the model does not fit, and what
 * reading weights does.
 */
export async function refineModel(
  model: ImportedModel,
  options: NumericOptions,
  onProgress?: OnProgress,
  formats: readonly GroupFormat[] = budgetFormats,
): Promise<RefinedModel> {
  const { calibrate, budget, quant, tensorTypes = [] } = options;
  const asItIs = { ...model, formats: new Map<string, WeightFormat>(), choices: [], isCalibrated: false };
  if (calibrate === undefined && budget === undefined) return asItIs;
  const matrices = freeMatrices(model.graph, tensorTypes.map(parseTensorType));
  if (budget !== undefined && matrices.length === 0) {
    throw new LfmcError("usage/flag", "leaves --budget no matrix to choose a format for", {
      subject: "--tensor-type",
      hint: "leave --budget out, or name fewer matrices",
    });
  }
  if (budget !== undefined && quant !== undefined) {
    throw new LfmcError("usage/flag", "does not go with --budget, which chooses formats", {
      subject: "--quant",
      hint: "leave one of them out, or name single matrices with --tensor-type",
    });
  }
  if (budget === undefined && !roundsAny(model, options)) {
    const warning = "--calibrate: no matrix is rounded (weights are floats, or kept as the file has them), so nothing was calibrated";
    return { ...asItIs, warnings: [...model.warnings, warning] };
  }
  checkMemory(model);
  const tokens = calibrate === undefined ? null : await calibrationTokens(calibrate, model);
  const warnings =
    tokens && tokens.length < enoughTokens ? [`--calibrate: ${tokens.length} tokens say little; ${enoughTokens} or more are better`] : [];
  const { store, formats: choice } = await improve(model.graph, model.store, {
    tokens,
    bos: model.tokens.bos,
    budget: budget ?? null,
    matrices,
    formats,
    onProgress,
  });
  const improved = { ...asItIs, store, warnings: [...model.warnings, ...warnings], isCalibrated: true };
  if (!choice) return improved;
  const { byTensor, bits, loss } = choice;
  const chosen = [...byTensor.values()];
  const parts = [...new Set(chosen)].toSorted().map((format) => `${chosen.filter((other) => other === format).length} in ${format}`);
  const choices = [`${bits.toFixed(3)} bits a weight: ${parts.join(", ")}; expected KL divergence to f32 ${loss.toPrecision(2)} nats`];
  return { ...improved, formats: byTensor, choices };
}

/** Fewer tokens leave most inputs of a matrix unseen. */
const enoughTokens = 1024;

/** Whether a compile rounds weights to groups: matrices that the file does not hold in the format chosen for them. */
function roundsAny(model: ImportedModel, options: NumericOptions): boolean {
  return preparedGraph(model, options).graph.constants.some(
    ({ type, sources }) =>
      groupFormatNamed(type.encoding) && sources.some(({ tensor }) => model.store.tensors.get(tensor)?.keep !== type.encoding),
  );
}

/** Refuses what a calibration cannot hold: all weights in f32, beside the moments of their inputs. Throws plan/memory. */
function checkMemory({ graph }: ImportedModel): void {
  const weights = graph.constants.reduce((sum, constant) => sum + weightCount(constant), 0);
  if (weights * f32Bytes < totalmem()) return;
  throw new LfmcError("plan/memory", `holds ${weights} weights in f32, and this machine has ${totalmem()} bytes of memory`, {
    subject: "calibration",
    hint: "calibrate on a larger machine, or leave out --calibrate and --budget",
  });
}

/** Token ids of a .json list, or of a text. */
async function calibrationTokens(path: string, model: ImportedModel): Promise<readonly number[]> {
  const tokens = path.toLowerCase().endsWith(".json") ? await readTokenList(path) : await encodeText(path, model);
  const outside = tokens.find((token) => token >= model.config.vocabSize);
  if (outside !== undefined) {
    throw new LfmcError("run/input", `holds token ${outside}, outside the model's vocabulary of ${model.config.vocabSize}`, {
      subject: path,
      hint: "give token ids of this model",
    });
  }
  return tokens;
}

async function encodeText(path: string, model: ImportedModel): Promise<readonly number[]> {
  const text = await readText(path, "give a text file");
  const tokenizer = await openTokenizer(model);
  if (!tokenizer) {
    throw new LfmcError("run/input", "is text, and the model has no tokenizer", {
      subject: path,
      hint: "give a .json file that holds a list of token ids",
    });
  }
  const tokens = tokenizer.encode(text, { addBos: false });
  if (tokens.length > 0) return tokens;
  throw new LfmcError("run/input", "holds no token", { subject: path, hint: "give a longer text" });
}
