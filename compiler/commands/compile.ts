/** `lfmc compile`: a model to an artefact. */
import { Command, Option } from "commander";
import { required } from "../errors.ts";
import { compile, type CompileResult } from "../index.ts";
import { emitStages, engineFeatures, type CompileOptions, type EmitStage, type EngineFeature } from "../options.ts";
import { targetNames } from "../targets.ts";
import { printMemory } from "../plan/print.ts";
import { sessionBytes } from "../plan/state.ts";
import { byteCount, textList, wholeNumber, wordList } from "./flags.ts";
import { addNumericFlags, addRefinementFlags, type NumericFlags } from "./numeric-flags.ts";
import { print, progress, stageBar, warn } from "./report.ts";

type Flags = Omit<CompileOptions, "model" | "onProgress" | "tensorTypes"> & NumericFlags & { readonly json?: boolean };

export function compileCommand(): Command {
  const command = new Command("compile")
    .description("compile a model into an artefact")
    .argument("<model>", "a model's folder, its config.json with the weights beside it, or a .gguf file")
    .addOption(new Option("--target <target>", "what to emit").choices(targetNames).default("wasm-simd"))
    .option("-o, --output <dir>", "the artefact's folder")
    .option("--context <n>", "positions a session can hold (default: the model's, at most 4096)", wholeNumber(1))
    .option("--prefill-chunk <n>", "most rows in one forward call (default: 128; of a mixture of experts up to 512)", wholeNumber(1))
    .option("--sessions <n>", "session slots", wholeNumber(1), 1)
    .option("--max-memory <bytes>", "fail if the memory plan is larger, e.g. 128MB", byteCount)
    .option(
      "--features <list>",
      `what an engine may be asked for: ${engineFeatures.join(", ")} (default: every variant that helps)`,
      wordList<EngineFeature>(engineFeatures),
    )
    .option("--variants <list>", "emit these variants of the target alone, e.g. avx2 (default: all)", textList)
    .option("--tuned <file>", "plan with the tiles that lfmc tune found best; they change speed and scratch memory, never results")
    .option("--name <name>", "name of the package (default: the folder's, or the .gguf file's)")
    .option("--random-weights <seed>", "compile the shape alone, with generated weights", wholeNumber())
    .option("--shard-size <bytes>", "largest weights file, e.g. 100MB (default: 25MB)", byteCount)
    .option(
      "--embed-weights",
      "put the weights into each module, not into files: for small models; with --features simd128 there is one module",
    )
    .option("--python", "make the artefact of a C target a Python package too: pip install DIR")
    .option("--emit <stages>", `write stages as text into the artefact: ${emitStages.join(", ")}`, wordList<EmitStage>(emitStages))
    .option("--dry-run", "plan only; prints the memory plan to the byte (a --budget is measured all the same)")
    .option("--json", "print the result as JSON");
  return addRefinementFlags(addNumericFlags(command)).action(async (model: string, { json, tensorType, ...flags }: Flags) => {
    const result = await compile({
      ...flags,
      ...(tensorType === undefined ? {} : { tensorTypes: tensorType }),
      model,
      onProgress: stageBar,
    });
    progress(null);
    warn(result.warnings);
    const embedded = flags.embedWeights ?? false;
    print(json ? JSON.stringify(summary(result, embedded), null, 2) : describe(result, embedded));
  });
}

/** What `--json` prints. */
function summary({ programs, memory, artefact, warnings, notes }: CompileResult, embedded: boolean): unknown {
  const { program } = required(programs[0], "variant");
  return {
    name: artefact?.manifest.name ?? program.name,
    output: artefact?.folder ?? null,
    memory,
    session: sessionBytes(memory.state),
    limits: program.limits,
    values: program.memory.placements.length,
    variants: artefact?.manifest.variants ?? [],
    weights: artefact?.manifest.weights ?? [],
    embedded,
    warnings,
    notes,
  };
}

function describe({ programs, memory, artefact, notes }: CompileResult, embedded: boolean): string {
  const { program } = required(programs[0], "variant");
  const map = printMemory(memory, { embedded });
  if (!artefact)
    return [`plan of ${program.name} for ${program.limits.context} positions; nothing was written`, ...notes, "", map].join("\n");
  const { manifest, folder } = artefact;
  const modules = manifest.variants.map(({ module, bytes }) => `${module}: ${bytes} bytes`);
  return [
    `${folder}: ${manifest.name}, ${manifest.model.parameters} parameters as ${manifest.quantization.weights}`,
    ...notes,
    ...modules,
    "",
    map,
  ].join("\n");
}
