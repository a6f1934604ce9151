/**
 * What encodings cost the demo models, measured on text that they were not trained on: the encodings to compare, the estimates that PyTorch
 * gave for some of them (examples/demo-model/README.md), and the held-back end of each novel, which both models share.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { NumericOptions } from "../../compiler/options.ts";
import type { LogitSource } from "../../compiler/evaluate/logit-source.ts";
import { windowsOf } from "../../compiler/evaluate/windows.ts";
import { createTokenizer } from "../../runtime/tokenizer.ts";

export const demoModel = fileURLToPath(new URL("../../examples/demo-model", import.meta.url));
export const demoMixture = fileURLToPath(new URL("../../examples/demo-moe", import.meta.url));

/** KL divergence in nats and top-1 agreement. */
export interface Estimate {
  readonly kl: number;
  readonly top1: number;
}

export interface Encoding {
  /** As the command line has it. */
  readonly flags: string;
  readonly options: NumericOptions;
  /** PyTorch's, over the first `estimatedTokens` of each novel's held-back part. */
  readonly estimate?: Estimate;
}

export const estimatedTokens = 511;

/** The reference of all comparisons. */
export const whole: Encoding = { flags: "--quant f32", options: { quant: "f32" } };

/** Text for calibration: none of it is held back. */
export const calibrationText = join(demoModel, "calibration.txt");

const embeddingInBytes = { quant: "q4_0", tensorTypes: ["model.embed_tokens.*=q8_0"] } as const;

export const encodings: readonly Encoding[] = [
  { flags: "--quant bf16", options: { quant: "bf16" } },
  { flags: "--quant f16", options: { quant: "f16" } },
  { flags: "--quant q8_0", options: { quant: "q8_0" }, estimate: { kl: 0.00012, top1: 0.991 } },
  { flags: "--quant q4_1", options: { quant: "q4_1" } },
  { flags: "--quant q4_1 --calibrate", options: { quant: "q4_1", calibrate: calibrationText } },
  {
    flags: "--quant q4_0 --tensor-type 'model.embed_tokens.*=q8_0'",
    options: embeddingInBytes,
    estimate: { kl: 0.006, top1: 0.942 },
  },
  {
    flags: "--quant q4_0 --tensor-type 'model.embed_tokens.*=q8_0' --calibrate",
    options: { ...embeddingInBytes, calibrate: calibrationText },
  },
  { flags: "--quant q4_0", options: { quant: "q4_0" }, estimate: { kl: 0.0128, top1: 0.904 } },
  { flags: "--quant q4_0 --calibrate", options: { quant: "q4_0", calibrate: calibrationText } },
  { flags: "--quant q4_0 --activations f32", options: { quant: "q4_0", activations: "f32" } },
  { flags: "--quant q3_0", options: { quant: "q3_0" } },
  { flags: "--quant q3_0 --calibrate", options: { quant: "q3_0", calibrate: calibrationText } },
  ...[5, 4.5, 4].map((budget) => ({ flags: `--budget ${budget} --calibrate`, options: { budget, calibrate: calibrationText } })),
];

/** Of the cache. */
export const cacheEncodings: readonly Encoding[] = (["f32", "q4_0"] as const).flatMap((quant) =>
  (["f32", "f16", "q8_0"] as const).map((kv) => ({ flags: `--quant ${quant} --kv ${kv}`, options: { quant, kv } })),
);

const novels = ["sensesensibility", "prideprejudice", "mansfieldpark", "emma", "northangerabbey", "persuasion"] as const;
/** Share of each novel's tokens, at its end, that train.py holds back. */
const heldBack = 0.03;
const bos = 1;

/** One window for each novel: BOS, then the first `count` tokens of its held-back part, the text cleaned as train.py does. */
export async function heldBackWindows(count: number): Promise<readonly (readonly number[])[]> {
  const texts = await heldBackTexts();
  return texts.flatMap((ids) => windowsOf(ids.slice(0, count), bos, count + 1));
}

/** `count` prompts from the novels' held-back parts, one novel after the other: BOS and the `length` - 1 tokens from ever later places. */
export async function heldBackPrompts(count: number, length: number): Promise<readonly (readonly number[])[]> {
  const texts = await heldBackTexts();
  const stride = 97;
  return Array.from({ length: count }, (_, i) => {
    const at = stride * Math.floor(i / texts.length);
    return [bos, ...(texts[i % texts.length] ?? []).slice(at, at + length - 1)];
  });
}

/** Tokens of each novel's held-back part. */
async function heldBackTexts(): Promise<readonly (readonly number[])[]> {
  const read = async (...path: readonly string[]): Promise<string> => await readFile(join(demoModel, ...path), "utf8");
  const tokenizer = createTokenizer(JSON.parse(await read("tokenizer.json")), JSON.parse(await read("tokenizer_config.json")), bos);
  const texts = await Promise.all(novels.map((novel) => read("text", `${novel}.txt`)));
  return texts.map((text) => {
    const paragraphs = text.split("\n\n").map((paragraph) => paragraph.trim().split(/\s+/).join(" "));
    const ids = tokenizer.encode(paragraphs.filter((paragraph) => paragraph !== "").join("\n\n"), { addBos: false });
    return ids.slice(Math.floor(ids.length * (1 - heldBack)));
  });
}

/** The same source, each window's logits computed once and kept. */
export function remembered(source: LogitSource): LogitSource {
  const known = new Map<string, readonly Float32Array[]>();
  return {
    ...source,
    *logits(tokens) {
      const key = tokens.join();
      const rows = known.get(key) ?? Array.from(source.logits(tokens), (row) => row.slice());
      known.set(key, rows);
      yield* rows;
    },
  };
}
