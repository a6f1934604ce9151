/** llama.cpp's own benchmark, built for this very processor. It tells nothing of a first token. */
import * as v from "valibot";
import { runChild } from "../child.ts";
import type { Repetition } from "../figures.ts";
import { buildNative, nativeTools, sourceVersion } from "../llama-cpp.ts";
import { compiler, missingTools, runTool } from "../tools.ts";
import { nodePeer, type Contender } from "./contender.ts";

const results = v.array(v.object({ n_prompt: v.number(), n_gen: v.number(), samples_ts: v.array(v.number()) }));

export const llamaBench: Contender = {
  name: "llama-bench",
  title: "llama.cpp native (llama-bench)",
  ...nodePeer,
  obstacle: () => missingTools(nativeTools),
  prepare: async () => {
    await buildNative();
  },
  version: async () => {
    const [line = ""] = (await runTool(compiler, ["--version"])).split("\n");
    return `${sourceVersion}, ${line}, -march=native`;
  },
  measure: async (path, { threads, prompt, decode, depth, samples }) => {
    const work = depth === 0 ? ["-p", prompt] : ["-p", 0, "-d", depth];
    const args = ["-m", path, "-t", threads, ...work, "-n", decode, "-r", samples, "-o", "json"].map(String);
    const { stdout, peakBytes } = await runChild(await buildNative(), args);
    return { ...repetitionOf(v.parse(results, JSON.parse(stdout))), peakBytes };
  },
};

function repetitionOf(tests: v.InferOutput<typeof results>): Repetition {
  const decode = tests.find((test) => test.n_gen > 0)?.samples_ts;
  if (!decode) throw new Error("llama-bench printed no decoding");
  return { firstTokenSeconds: null, prefill: tests.find((test) => test.n_prompt > 0)?.samples_ts[0] ?? null, decode };
}
