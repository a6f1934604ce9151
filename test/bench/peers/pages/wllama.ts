/** wllama in a page. Served as JavaScript. Its prompts are texts, whose tokens the made-up vocabulary knows beforehand; its rates are its own. */
import type { Repetition } from "../figures.ts";
import type { Job } from "../children/job.ts";
import { firstPrompt } from "../prompt.ts";
import { promptText } from "../vocabulary.ts";

/** What is used of the package. */
interface WllamaModule {
  readonly Wllama: new (
    paths: Readonly<Record<"default", string>>,
    config: { readonly suppressNativeLog: boolean },
  ) => {
    loadModel(blobs: readonly Blob[], parameters: Readonly<Record<string, number>>): Promise<void>;
    createCompletion(parameters: Readonly<Record<string, unknown>>): Promise<{ readonly timings?: Timings }>;
    getNumThreads(): number;
  };
}

interface Timings {
  readonly prompt_n: number;
  readonly prompt_per_second: number;
  readonly predicted_per_second: number;
}

const folder = "/node_modules/@wllama/wllama/esm/";

/** Measures the model file that the server has under `/model/`. */
export async function measure({ path, startedAt, threads, prompt, decode, samples }: Job): Promise<Repetition> {
  const entry = `${folder}index.js`;
  const { Wllama } = (await import(entry)) as WllamaModule;
  const wllama = new Wllama({ default: `${folder}wasm/wllama.wasm` }, { suppressNativeLog: true });
  const file = await (await fetch(`/model/${path.split("/").at(-1) ?? ""}`)).blob();
  const positions = Math.ceil((prompt + decode + 64) / 256) * 256;
  await wllama.loadModel([new File([file], "model.gguf")], { n_ctx: positions, n_threads: threads, n_gpu_layers: 0, n_batch: 512 });
  if (wllama.getNumThreads() !== threads) throw new Error(`wllama runs ${wllama.getNumThreads()} threads, not ${threads}`);

  const complete = async (promptCount: number, count: number): Promise<Timings> => {
    const { timings } = await wllama.createCompletion({
      prompt: promptText(promptCount),
      max_tokens: count,
      temperature: 0,
      samplers: ["top_k"],
      top_k: 1,
      ignore_eos: true,
      cache_prompt: false,
    });
    if (timings?.prompt_n === promptCount) return timings;
    throw new Error(`wllama read ${timings?.prompt_n ?? "no"} tokens, not ${promptCount}`);
  };

  await complete(firstPrompt, 1);
  const firstTokenSeconds = (Date.now() - startedAt) / 1000;
  const { prompt_per_second: prefill } = await complete(prompt, 1);
  const rates: number[] = [];
  for (let i = 0; i < samples; i++) rates.push((await complete(2, decode)).predicted_per_second);
  return { firstTokenSeconds, prefill, decode: rates };
}
