/**
 * The Python project of an artefact: the files of `python/`, of which three have the plan's values in them (`@key@`). The package calls the
 * library through ctypes, so that nothing is compiled for it, and finds library, weights and tokenizer beside itself or in the artefact's folder.
 */
import { readdirSync, readFileSync } from "node:fs";
import type { Manifest } from "../../runtime/manifest.ts";
import { npmName } from "../package.ts";
import type { PackageFile, PackageInput } from "../target.ts";
import { fill, symbolOf } from "./project.ts";
import { takenModules } from "./taken-modules.ts";

/** Of the artefact, beside the library: what goes into a wheel. */
function dataFiles({ weights, files: { tokenizer, tokenizerConfig } }: Manifest): readonly string[] {
  return [...weights.map(({ path }) => path), tokenizer, tokenizerConfig].filter((path) => path !== null);
}

/** The package's name in Python: what C calls the model, after `model_` where Python has such a name already, or takes no such one. */
export function moduleName(name: string): string {
  const symbol = symbolOf(name);
  return /^[0-9]/.test(symbol) || takenModules.has(symbol) ? `model_${symbol}` : symbol;
}

/** All files of the project. */
export function pythonFiles({ manifest }: PackageInput): readonly PackageFile[] {
  const values = valuesOf(manifest);
  const folder = new URL("python/", import.meta.url);
  const read = (path: string): string => readFileSync(new URL(path, folder), "utf8");
  const modules = readdirSync(new URL("package/", folder)).filter((path) => /\.(?:py|typed)$/.test(path));
  return [
    ...["pyproject.toml", "setup.py", "MANIFEST.in"].map((path) => ({ path, text: fill(read(path), values) })),
    ...modules.toSorted().map((path) => ({ path: `python/${values.module}/${path}`, text: fill(read(`package/${path}`), values) })),
  ];
}

function valuesOf(manifest: Manifest) {
  const { name, model, limits, memory, sampling, tokens, files, lfmc } = manifest;
  const data = dataFiles(manifest);
  return {
    name,
    module: moduleName(name),
    symbol: symbolOf(name),
    // Python's names of distributions end with a letter or digit.
    distribution: npmName(manifest).replace(/[._-]+$/, ""),
    description: `${model.type} model, ${model.parameters} parameters, compiled by lfmc ${lfmc}`,
    dependencies: files.tokenizer === null ? "" : '"tokenizers"',
    files: data.map(literal).join(", "),
    files_listed: data.join(" "),
    lfmc_version: lfmc,
    vocabulary: model.vocabSize,
    context: limits.context,
    chunk: limits.prefillChunk,
    logit_rows: limits.logitRows,
    sessions: limits.sessions,
    memory_bytes: memory.bytes,
    thread_bytes: memory.threadBytes,
    temperature: sampling.temperature,
    top_k: sampling.topK,
    top_p: sampling.topP,
    min_p: sampling.minP,
    repetition_penalty: sampling.repetitionPenalty,
    bos: literal(tokens.bos),
    end_tokens: tokens.eos.map((token) => `${token},`).join(" "),
    tokenizer: literal(files.tokenizer),
    tokenizer_config: literal(files.tokenizerConfig),
  };
}

/** In Python; a text's escapes are those of JSON. */
function literal(value: string | number | null): string {
  return value === null ? "None" : JSON.stringify(value);
}
