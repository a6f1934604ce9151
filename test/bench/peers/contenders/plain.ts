/** Plain loops in the manner of llama2.c: one token at a time, in one thread. */
import { join } from "node:path";
import { lastLine, runChild } from "../child.ts";
import { parseRepetition, type Figures, type Work } from "../figures.ts";
import { cacheFolder } from "../folders.ts";
import { buildPlain, plainFlags } from "../plain/build.ts";
import { cCompiler, cCompilerVersion, missingTools } from "../tools.ts";
import type { Contender } from "./contender.ts";

/** A prompt is read token by token, at the speed of decoding: a few tokens tell nearly what many would, in minutes. */
const mostTokens = 32;
const program = join(cacheFolder, "plain/plain");

/** By what `--only` calls them; their bytes of weights are others than everyone else's. */
export const plain: readonly Contender[] = [
  plainOf("plain-c", "plain-f32", "plain C, f32"),
  plainOf("plain-c-q8", "plain-int8", "plain C, int8"),
];

function plainOf(name: string, model: "plain-f32" | "plain-int8", title: string): Contender {
  return {
    name,
    title,
    model,
    isOurs: false,
    isInBrowser: false,
    goesDeep: false,
    mostRounds: Infinity,
    obstacle: () => missingTools([cCompiler]),
    prepare: () => buildPlain(program),
    version: async () =>
      `loops in the manner of llama2.c, ${await cCompilerVersion()} ${plainFlags.join(" ")}; prompts and decoding of ${mostTokens} tokens at most`,
    measure,
  };
}

async function measure(path: string, { threads, prompt, decode }: Work): Promise<Figures> {
  if (threads > 1) throw new Error(`runs a single thread, not ${threads}`);
  const counts = [prompt, decode].map((count) => Math.min(count, mostTokens));
  const { stdout, peakBytes } = await runChild(program, ["bench", path, ...counts.map(String), String(Date.now())]);
  return { ...parseRepetition(lastLine(stdout)), peakBytes };
}
