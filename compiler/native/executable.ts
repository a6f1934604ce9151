/**
 * A C artefact's executable in place of its library: for another machine's code, run by an emulator that LFMC_RUNNER names, and where Node has no
 * foreign function interface. It takes and gives token ids, and finds the likeliest token alone.
 */
import { join } from "node:path";
import type { Manifest } from "../../runtime/manifest.ts";
import { hostForeignInterface } from "../../runtime/library/foreign.ts";
import { LfmcError, required } from "../errors.ts";
import { parseJson } from "../import/json.ts";
import { buildExecutable, type Built } from "./build.ts";
import { firstLines, runCommand, wordsOf } from "./command.ts";

/** Whether `forward` and `run` take the executable: LFMC_RUNNER is set, be it to nothing, or there is no other way. */
export function usesExecutable({ target }: Manifest): boolean {
  return target !== "wasm-simd" && (process.env.LFMC_RUNNER !== undefined || hostForeignInterface([]) === null);
}

export interface ExecutableFlags {
  readonly threads?: number | undefined;
  readonly variant?: string | undefined;
}

/** How tokens are found. */
export interface GuessFlags {
  readonly decode?: string | undefined;
  readonly window?: number | undefined;
}

/** Builds the executable if need be and runs it; returns what it printed. Throws what buildExecutable does, and run/input with its complaint. */
async function runExecutable(
  folder: string,
  manifest: Manifest,
  args: readonly string[],
  { threads, variant }: ExecutableFlags,
): Promise<string> {
  const built = await buildExecutable(folder, manifest);
  const shared = ["--weights", join(folder, required(manifest.weights[0], "weights").path)];
  if (threads !== undefined) shared.push("--threads", String(threads));
  if (variant !== undefined) shared.push("--variant", variant);
  return await runProgram(built, [...args, ...shared], "give other tokens, threads or variant, as it says");
}

/** Whether programs are run by another one, an emulator: LFMC_RUNNER names it. */
export function hasRunner(): boolean {
  return wordsOf(process.env.LFMC_RUNNER ?? "").length > 0;
}

/**
 * Runs a built program to its end, under LFMC_RUNNER where that is set; returns what it printed. Throws run/input with the program's own
 * complaint and `hint`, native/machine where it cannot be run.
 */
export async function runProgram({ path }: Pick<Built, "path">, args: readonly string[], hint: string): Promise<string> {
  const [command, ...before] = [...wordsOf(process.env.LFMC_RUNNER ?? ""), path];
  const { status, stdout, stderr } = await runCommand(required(command, "command"), [...before, ...args]);
  if (status === 0) return stdout;
  const fact = firstLines(stderr, 2).replace(/^error: /, "") || `ended with status ${status ?? "none"}`;
  // The program ends with 1 or 2 where it has said itself what is wrong; a runner that fails may say nothing.
  if ((status === 1 || status === 2) && stderr !== "") throw new LfmcError("run/input", fact, { subject: path, hint });
  throw new LfmcError("native/machine", `cannot be run: ${fact}`, {
    subject: required(command, "command"),
    hint: 'set LFMC_RUNNER to what runs it ("qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu max"), or to nothing where this machine does',
  });
}

/** `lfmc forward`: writes the logits of the tokens in the JSON file `tokens` to `output`. */
export async function forwardExecutable(
  folder: string,
  manifest: Manifest,
  {
    tokens,
    output,
    chunk,
    ...flags
  }: ExecutableFlags & { readonly tokens: string; readonly output: string; readonly chunk?: number | undefined },
): Promise<void> {
  const limits = chunk === undefined ? [] : ["--chunk", String(chunk)];
  await runExecutable(folder, manifest, ["forward", "--tokens", tokens, ...limits, "-o", output], flags);
}

export interface GreedyRun {
  readonly tokens: readonly number[];
  /** The record that it printed. */
  readonly record: Readonly<Record<string, unknown>>;
}

/** `lfmc run`: the likeliest tokens after `prompt`. */
export async function generateExecutable(
  folder: string,
  manifest: Manifest,
  {
    prompt,
    maxTokens,
    ignoreEos,
    decode,
    window,
    ...flags
  }: ExecutableFlags & GuessFlags & { readonly prompt: readonly number[]; readonly maxTokens: number; readonly ignoreEos: boolean },
): Promise<GreedyRun> {
  const wishes = ["--max-tokens", String(maxTokens), ...(ignoreEos ? ["--ignore-eos"] : []), "--json"];
  if (decode !== undefined) wishes.push("--decode", decode);
  if (window !== undefined) wishes.push("--window", String(window));
  const stdout = await runExecutable(folder, manifest, ["run", "--tokens", prompt.join(), ...wishes], flags);
  const parsed = parseJson(Buffer.from(stdout));
  const record = "value" in parsed ? parsed.value : null;
  if (isRecord(record) && Array.isArray(record.tokens)) return { tokens: record.tokens.map(Number), record };
  throw new LfmcError("run/input", "printed something else than its record", {
    subject: manifest.name,
    hint: "compile the artefact again",
  });
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
