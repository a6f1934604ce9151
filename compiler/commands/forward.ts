/** `lfmc forward`: the logits of given tokens, from an artefact, or from a model through the graph interpreter under the contract. */
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { Command } from "commander";
import { LfmcError } from "../errors.ts";
import { createInterpreter } from "../graph/interpret.ts";
import { importModel } from "../import/model.ts";
import { readConstant } from "../import/read-constant.ts";
import { preparedGraph } from "../pipeline.ts";
import { wholeNumber } from "./flags.ts";
import { isArtefact, openArtefact } from "./open-artefact.ts";
import { encodeSafetensors } from "./encode-safetensors.ts";
import { addNumericFlags, numericOptions, type NumericFlags } from "./numeric-flags.ts";
import { warn } from "./report.ts";

interface Flags extends NumericFlags {
  readonly tokens: string;
  readonly output: string;
  readonly chunk?: number;
  readonly threads?: number;
  readonly variant?: string;
  readonly randomWeights?: number;
}

export function forwardCommand(): Command {
  const command = new Command("forward")
    .description("write the logits of every token of a list")
    .argument("<artefact|model>", "folder written by lfmc compile, or a model to interpret")
    .requiredOption("--tokens <file>", "JSON file that holds the token ids: [1, 2, …]")
    .requiredOption("-o, --output <file>", "safetensors file to write: logits, f32 [tokens, vocabulary]")
    .option("--chunk <n>", "rows a forward call; the bits are the same for any", wholeNumber(1))
    .option("--threads <n>", "threads to run on", wholeNumber(1))
    .option("--variant <name>", "code variant to run")
    .option("--random-weights <seed>", "of a model: generated weights", wholeNumber());
  return addNumericFlags(command, "of a model: ").action(forward);
}

async function forward(path: string, flags: Flags): Promise<void> {
  const tokens = await readTokens(flags.tokens);
  const { logits, vocabulary } = (await isArtefact(path))
    ? await runArtefact(path, tokens, flags)
    : await interpretModel(path, tokens, flags);
  const file = encodeSafetensors([{ name: "logits", shape: [tokens.length, vocabulary], values: logits }]);
  await writeWhole(flags.output, file);
}

/** Puts the file in its place when it is whole; leaves nothing beside it where that cannot be. */
async function writeWhole(path: string, file: Uint8Array): Promise<void> {
  const aside = `${path}.${process.pid}.partial`;
  try {
    await writeFile(aside, file);
    await rename(aside, path);
  } catch (cause) {
    await rm(aside, { force: true });
    throw new LfmcError("io/unreadable", "cannot be written", { subject: path, hint: "choose another file with -o", cause });
  }
}

async function readTokens(file: string): Promise<readonly number[]> {
  const hint = "give a JSON file that holds a list of token ids: [1, 2, 3]";
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw new LfmcError("io/missing", "cannot be read", { subject: file, hint, cause });
  });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new LfmcError("run/input", "is not JSON", { subject: file, hint, cause });
  }
  if (Array.isArray(json) && json.length > 0 && json.every((id): id is number => Number.isSafeInteger(id) && id >= 0)) return json;
  throw new LfmcError("run/input", "is not a list of token ids", { subject: file, hint });
}

interface Logits {
  readonly logits: Float32Array;
  readonly vocabulary: number;
}

async function runArtefact(path: string, tokens: readonly number[], { chunk, threads, variant, ...flags }: Flags): Promise<Logits> {
  if (flags.randomWeights !== undefined || Object.keys(numericOptions(flags)).length > 0) {
    warn(["--quant, --tensor-type, --activations, --kv and --random-weights are for models: an artefact has its own, which apply"]);
  }
  const model = await openArtefact(path, { ...(variant === undefined ? {} : { variant }), ...(threads === undefined ? {} : { threads }) });
  try {
    const { prefillChunk, logitRows, context } = model.manifest.limits;
    if (tokens.length > context) {
      throw new LfmcError("run/context", `has ${tokens.length} tokens; the artefact was compiled for ${context} positions`, {
        subject: "--tokens",
        hint: "compile with a larger --context",
      });
    }
    // A call has room for so many rows, and for logits of so many.
    const rowsPerCall = Math.min(chunk ?? prefillChunk, prefillChunk, logitRows);
    const vocabulary = model.manifest.model.vocabSize;
    const logits = new Float32Array(tokens.length * vocabulary);
    for (let start = 0; start < tokens.length; start += rowsPerCall) {
      const rows = tokens.slice(start, start + rowsPerCall).map((token, i) => ({ token, slot: 0, position: start + i, wantsLogits: true }));
      model.forward(rows).forEach((row, i) => {
        logits.set(row, (start + i) * vocabulary);
      });
    }
    return { logits, vocabulary };
  } finally {
    await model.dispose();
  }
}

async function interpretModel(path: string, tokens: readonly number[], { chunk, randomWeights, ...numerics }: Flags): Promise<Logits> {
  const model = await importModel(path, randomWeights === undefined ? {} : { randomWeights });
  try {
    const { graph, warnings } = preparedGraph(model, numericOptions(numerics));
    warn([...model.warnings, ...warnings]);
    const interpreter = await createInterpreter(graph, (constant) => readConstant(model.store, constant), "contract");
    const vocabulary = model.config.vocabSize;
    const logits = new Float32Array(tokens.length * vocabulary);
    const rowsPerCall = chunk ?? tokens.length;
    for (let start = 0; start < tokens.length; start += rowsPerCall) {
      const rows = tokens.slice(start, start + rowsPerCall).map((token, i) => ({ token, slot: 0, position: start + i, wantsLogits: true }));
      interpreter.forward(rows).logits.forEach((row, i) => {
        logits.set(row, (start + i) * vocabulary);
      });
    }
    return { logits, vocabulary };
  } finally {
    await model.store.close();
  }
}
