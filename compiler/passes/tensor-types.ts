/**
 * How each matrix is to be stored, as `--quant` and `--tensor-type 'GLOB=FORMAT'` say it: the last glob that matches a checkpoint
 * tensor's name decides, else `--quant`. In a glob `*` stands for any letters, dots too, and `?` for one; it must match the whole name.
 */
import { LfmcError, required } from "../errors.ts";
import type { Constant, Graph, ValueName, WeightEncoding } from "../graph/types.ts";
import { isGrouped } from "../graph/operands.ts";
import { matricesOf } from "./matrices.ts";
import type { EncodingChoice } from "./quantize-weights.ts";

/** What `--quant` and `--tensor-type` take; "keep" is the encoding that the checkpoint has. */
export const weightFormats = ["q3_0", "q4_0", "q4_1", "q8_0", "f16", "bf16", "f32", "keep"] as const;
export type WeightFormat = (typeof weightFormats)[number];

/** One `--tensor-type`. */
export interface TensorType {
  readonly glob: string;
  readonly format: WeightFormat;
}

export interface FormatRequest {
  /** The format of every matrix that no glob matches. */
  readonly quant: WeightFormat;
  /** What a budget chose for single tensors, in place of `quant`. */
  readonly formats?: ReadonlyMap<string, WeightFormat>;
  /** Later ones win. */
  readonly tensorTypes: readonly TensorType[];
  /** The encoding that holds a tensor as the checkpoint has it; asked for "keep" alone. */
  readonly keepOf: (tensor: string) => WeightEncoding;
}

export interface ChosenEncodings {
  readonly encodingOf: EncodingChoice;
  /** One for each glob that matches no matrix. */
  readonly warnings: readonly string[];
}

/** Reads `GLOB=FORMAT`. Throws usage/flag. */
export function parseTensorType(text: string): TensorType {
  const at = text.lastIndexOf("=");
  const hint = `write GLOB=FORMAT, like 'model.embed_tokens.*=q8_0'; formats are ${weightFormats.join(", ")}`;
  if (at < 1) throw new LfmcError("usage/flag", `${JSON.stringify(text)} is not GLOB=FORMAT`, { subject: flag, hint });
  const word = text.slice(at + 1);
  const format = weightFormats.find((candidate) => candidate === word);
  if (format === undefined) throw new LfmcError("usage/flag", `unknown format ${JSON.stringify(word)}`, { subject: flag, hint });
  return { glob: text.slice(0, at), format };
}

const flag = "--tensor-type";

/**
 * The encodings of a graph's matrices. Throws usage/flag where globs ask for several formats within one matrix: where the checkpoint
 * holds experts apart, all their w1 and w3 are one matrix here, and all their w2.
 */
export function chooseEncodings(graph: Graph, request: FormatRequest): ChosenEncodings {
  const matrices = matricesOf(graph);
  const constants = graph.constants.filter(({ name }) => matrices.has(name));
  const rules = request.tensorTypes.map((rule) => ({ ...rule, pattern: patternOf(rule.glob) }));
  const formatOf = (tensor: string): WeightFormat =>
    rules.findLast(({ pattern }) => pattern.test(tensor))?.format ?? request.formats?.get(tensor) ?? request.quant;
  const encodingOf: EncodingChoice = (matrix) => encodingOfMatrix(matrix, formatOf, request.keepOf);
  // Told now rather than when a pass gets there.
  constants.forEach(encodingOf);
  const tensors = [...new Set(constants.flatMap(tensorsOf))];
  const idle = rules.filter(({ pattern }) => !tensors.some((tensor) => pattern.test(tensor)));
  return { encodingOf, warnings: idle.map((rule) => idleWarning(rule, graph, matrices)) };
}

/** The matrices that no `--tensor-type` names. */
export function freeMatrices(graph: Graph, tensorTypes: readonly TensorType[]): readonly Constant[] {
  const matrices = matricesOf(graph);
  const patterns = tensorTypes.map(({ glob }) => patternOf(glob));
  return graph.constants.filter(
    (constant) => matrices.has(constant.name) && !tensorsOf(constant).some((tensor) => patterns.some((pattern) => pattern.test(tensor))),
  );
}

/** A glob as a regular expression over whole names. */
function patternOf(glob: string): RegExp {
  const parts = glob.split(/\*+/).map((part) => part.replace(/[\\^$.|+()[\]{}]/g, "\\$&").replaceAll("?", "."));
  return new RegExp(`^${parts.join(".*")}$`);
}

function tensorsOf({ sources }: Constant): readonly string[] {
  return sources.map(({ tensor }) => tensor);
}

function encodingOfMatrix(matrix: Constant, formatOf: (tensor: string) => WeightFormat, keepOf: FormatRequest["keepOf"]): WeightEncoding {
  const tensors = tensorsOf(matrix);
  const formats = [...new Set(tensors.map(formatOf))];
  const [format] = formats;
  if (formats.length > 1) {
    const other = tensors.find((tensor) => formatOf(tensor) !== format);
    throw new LfmcError("usage/flag", `${tensors[0]} would be ${format}, ${other} ${formats[1]}, and both are one matrix`, {
      subject: flag,
      hint: "all experts' w1 and w3 are one matrix, their w2 another: '*.experts.*=q8_0' matches both, '*.experts.*.w2.*=q8_0' w2",
    });
  }
  if (format !== "keep") return required(format, `source of ${matrix.name}`);
  const encodings = [...new Set(tensors.map(keepOf))];
  const [only] = encodings;
  if (encodings.length === 1 && only !== undefined) return only;
  // Of several types in groups the finest is near enough; only binary32 holds numbers of other types together as they are.
  return encodings.every(isGrouped) ? "q8_0" : "f32";
}

/** Says so where the glob matches weights that are stored in f32 whatever is asked. */
function idleWarning({ glob, pattern }: { glob: string; pattern: RegExp }, { constants }: Graph, matrices: ReadonlySet<ValueName>): string {
  const small = constants.some((constant) => !matrices.has(constant.name) && tensorsOf(constant).some((tensor) => pattern.test(tensor)));
  const fact = small ? "matches no matrix (norms, biases, taps and routers stay f32)" : "matches no tensor of the model";
  return `${flag}: ${JSON.stringify(glob)} ${fact}`;
}
