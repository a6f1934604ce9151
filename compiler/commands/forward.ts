/** `lfmc forward`: the logits of given tokens, from an artefact, or from a model through the graph interpreter under the contract. */
import { resolve } from "node:path";
import { Command } from "commander";
import { LfmcError } from "../errors.ts";
import { importModel } from "../import/model.ts";
import { preparedGraph } from "../pipeline.ts";
import { refineModel } from "../refine.ts";
import { addExecutionFlags, type ExecutionFlags } from "./execution-flags.ts";
import { wholeNumber } from "./flags.ts";
import { isArtefact } from "../artefact/is-artefact.ts";
import { forwardExecutable, usesExecutable } from "../native/executable.ts";
import { openArtefact, readManifest, verifyFiles } from "./open-artefact.ts";
import { artefactLogits, interpretedLogits, type LogitSource } from "../evaluate/logit-source.ts";
import { encodeSafetensors, type FloatTensor } from "./encode-safetensors.ts";
import { addNumericFlags, addRefinementFlags, numericOptions, type NumericFlags } from "./numeric-flags.ts";
import { readTokenList } from "../import/text-file.ts";
import { progress, stageBar, warn } from "./report.ts";
import { writeWhole } from "./write-whole.ts";

interface Flags extends NumericFlags, ExecutionFlags {
  readonly tokens: string;
  readonly output: string;
  readonly chunk?: number;
  readonly randomWeights?: number;
}

export function forwardCommand(): Command {
  const command = new Command("forward")
    .description("write the logits of every token of a list")
    .argument("<artefact|model>", "folder written by lfmc compile, or a model to interpret")
    .requiredOption("--tokens <file>", "JSON file that holds the token ids: [1, 2, …]")
    .requiredOption("-o, --output <file>", "safetensors file to write: logits, f32 [tokens, vocabulary]")
    .option("--chunk <n>", "rows a forward call; the bits are the same for any", wholeNumber(1))
    .option("--random-weights <seed>", "of a model: generated weights", wholeNumber());
  return addRefinementFlags(addNumericFlags(addExecutionFlags(command, "of an artefact: "), "of a model: "), "of a model: ").action(
    forward,
  );
}

async function forward(path: string, flags: Flags): Promise<void> {
  const tokens = await readTokenList(flags.tokens);
  const artefact = (await isArtefact(path)) ? await readManifest(path) : null;
  if (artefact) warnOfModelFlags(flags);
  if (artefact && usesExecutable(artefact)) {
    await verifyFiles(path, artefact);
    await forwardExecutable(resolve(path), artefact, flags);
    return;
  }
  const run = artefact ? runArtefact : interpretModel;
  const file = await run(path, flags, (source) => encodeSafetensors([logitsTensor(source, tokens)]));
  await writeWhole(flags.output, file);
}

function warnOfModelFlags(flags: Flags): void {
  if (flags.randomWeights === undefined && Object.keys(numericOptions(flags)).length === 0) return;
  warn([
    "--quant, --tensor-type, --activations, --kv, --calibrate, --budget and --random-weights are for models: an artefact has its own, which apply",
  ]);
}

/** Gives `use` the artefact's logits; the model lives until it is done. */
async function runArtefact<Result>(
  path: string,
  { chunk, threads, variant }: Flags,
  use: (source: LogitSource) => Result,
): Promise<Result> {
  const model = await openArtefact(path, { variant, threads });
  try {
    return use(artefactLogits(model, chunk));
  } finally {
    await model.dispose();
  }
}

/** The same of a model, by the interpreter under the numeric contract. */
async function interpretModel<Result>(
  path: string,
  { chunk, randomWeights, ...numerics }: Flags,
  use: (source: LogitSource) => Result,
): Promise<Result> {
  const model = await importModel(path, randomWeights === undefined ? {} : { randomWeights });
  try {
    const options = numericOptions(numerics);
    const refined = await refineModel(model, options, stageBar);
    const { graph, warnings } = preparedGraph(refined, options);
    progress(null);
    warn([...refined.warnings, ...warnings]);
    return use(await interpretedLogits({ ...refined, graph }, "contract", chunk));
  } finally {
    await model.store.close();
  }
}

/** The logits after each token as one tensor. Throws run/context where the tokens do not fit. */
function logitsTensor({ vocabulary, context, logits }: LogitSource, tokens: readonly number[]): FloatTensor {
  if (tokens.length > context) {
    throw new LfmcError("run/context", `has ${tokens.length} tokens; there is room for ${context} positions`, {
      subject: "--tokens",
      hint: "give fewer tokens, or compile with a larger --context",
    });
  }
  const values = new Float32Array(tokens.length * vocabulary);
  let at = 0;
  for (const row of logits(tokens)) {
    values.set(row, at);
    at += vocabulary;
  }
  return { name: "logits", shape: [tokens.length, vocabulary], values };
}
