/** `lfmc inspect`: every stage of a compile as text; of an artefact, its manifest and its module. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { isEmbedded } from "../../runtime/manifest.ts";
import { withData } from "../../targets/wasm/data-section.ts";
import { required, LfmcError } from "../errors.ts";
import { printGraph } from "../graph/print.ts";
import { importModel, type ImportedModel } from "../import/model.ts";
import { printKernel } from "../kernel/print.ts";
import { draftPrograms, preparedGraph } from "../pipeline.ts";
import { printMemory, printPlan } from "../plan/print.ts";
import { loadTarget } from "../targets.ts";
import { wholeNumber } from "./flags.ts";
import { isArtefact } from "../artefact/is-artefact.ts";
import { readManifest } from "./open-artefact.ts";
import { addNumericFlags, numericOptions, type NumericFlags } from "./numeric-flags.ts";
import { print, warn } from "./report.ts";

interface Flags extends NumericFlags {
  readonly graph?: boolean;
  readonly kernels?: boolean;
  readonly plan?: boolean;
  readonly wat?: boolean;
  readonly json?: boolean;
  readonly context?: number;
  readonly prefillChunk?: number;
}

export function inspectCommand(): Command {
  const command = new Command("inspect")
    .description("print a model's graph, kernels, plan or code; of an artefact, its manifest or code")
    .argument("<artefact|model>", "folder written by lfmc compile, or a model (its weights are not needed)")
    .option("--graph", "the graph after all passes")
    .option("--kernels", "the kernels")
    .option("--plan", "the memory plan and the kernel calls")
    .option("--wat", "the WebAssembly module as text")
    .option("--json", "the facts as JSON")
    .option("--context <n>", "of a model: positions a session can hold", wholeNumber(1))
    .option("--prefill-chunk <n>", "of a model: most rows in one forward call", wholeNumber(1));
  return addNumericFlags(command, "of a model: ").action(async (path: string, flags: Flags) => {
    print((await isArtefact(path)) ? await inspectArtefact(path, flags) : await inspectModel(path, flags));
  });
}

async function inspectArtefact(folder: string, flags: Flags): Promise<string> {
  const manifest = await readManifest(folder);
  if (flags.graph || flags.kernels || flags.plan) {
    throw new LfmcError("usage/flag", "belong to models: an artefact keeps its code only", {
      subject: "--graph, --kernels, --plan",
      hint: "inspect the model, or compile with --emit graph,kernels,plan",
    });
  }
  if (flags.wat && manifest.target !== "wasm-simd") {
    throw new LfmcError("usage/flag", "is for WebAssembly: this artefact's code is C", {
      subject: "--wat",
      hint: `read ${required(manifest.variants.at(-1), "variant").module}`,
    });
  }
  if (flags.wat) return await disassemble(join(folder, required(manifest.variants[0], "variant").module), isEmbedded(manifest));
  if (flags.json) return JSON.stringify(manifest, null, 2);
  const { name, model, limits, memory, quantization, variants } = manifest;
  const regions = { ...memory, placements: [] };
  return [
    `${name}: ${model.type}, ${model.parameters} parameters as ${quantization.weights}, KV cache ${quantization.kv}`,
    `context ${limits.context}, chunk ${limits.prefillChunk}, sessions ${limits.sessions}`,
    ...variants.map((variant) => `${variant.module}: ${variant.bytes} bytes, needs ${variant.features.join(", ") || "nothing"}`),
    "",
    printMemory(regions, { embedded: isEmbedded(manifest) }),
  ].join("\n");
}

/** A module as text, without the bytes of weights that it holds. */
async function disassemble(path: string, holdsWeights: boolean): Promise<string> {
  const { default: wabt } = await import("wabt");
  const tool = await wabt();
  try {
    const binary = await readFile(path);
    const code = holdsWeights ? Buffer.concat(withData(binary, new Uint8Array(0))) : binary;
    const module = tool.readWasm(code, { readDebugNames: true, memory64: true });
    module.applyNames();
    return module.toText({ foldExprs: true, inlineExport: false });
  } catch (cause) {
    throw new LfmcError("artefact/invalid", "is no WebAssembly module", {
      subject: path,
      hint: "compile the model again: the artefact was altered",
      cause,
    });
  }
}

async function inspectModel(path: string, flags: Flags): Promise<string> {
  const model = await importModel(path, { needsShapesAlone: true });
  try {
    warn(model.warnings);
    return await describeModel(path, model, flags);
  } finally {
    await model.store.close();
  }
}

async function describeModel(path: string, model: ImportedModel, flags: Flags): Promise<string> {
  const target = await loadTarget("wasm-simd");
  const { context, prefillChunk } = flags;
  const options = {
    model: path,
    target: target.name,
    ...numericOptions(flags),
    ...(context === undefined ? {} : { context }),
    ...(prefillChunk === undefined ? {} : { prefillChunk }),
  };
  // A graph is there to see even where its plan would be more than the target holds.
  if (flags.graph && !flags.kernels && !flags.plan && !flags.wat && !flags.json) return printGraph(preparedGraph(model, options).graph);
  const { graph, programs, memory } = draftPrograms(model, target, options);
  const { variant, program } = required(programs[0], "variant");
  if (flags.json)
    return JSON.stringify({ config: model.config, memory: program.memory, limits: program.limits, steps: program.steps.length }, null, 2);
  const texts = [
    ...(flags.graph ? [printGraph(graph)] : []),
    ...(flags.kernels ? program.kernels.map((kernel) => printKernel(kernel)) : []),
    ...(flags.plan ? [printPlan(program)] : []),
    ...(flags.wat ? [target.emit(program, variant, { memoryBytes: memory.bytes, text: true, name: model.name }).text] : []),
  ];
  return texts.length > 0 ? texts.join("\n") : printMemory(memory);
}
