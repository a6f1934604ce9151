/**
 * The graph interpreter against the reference implementation, on every golden case: each recorded tensor of the prompt, the state
 * after it, and 32 greedy tokens. Reference arithmetic is held to 1e-4, the contract (on weights that are not quantised) to 1e-3.
 */
import { describe, expect, test } from "vitest";
import type { Interpreter } from "../../compiler/graph/interpret.ts";
import type { Tensor } from "../../compiler/graph/tensor.ts";
import type { Row } from "../../compiler/graph/types.ts";
import { argmax, type Golden, goldenCases, interpretCase, largestDifference, readGolden } from "./read.ts";

/** Golden tensors that are no value of the graph: ids, what is checked token by token, and what is there for information only. */
const notCompared = /^(input_ids|greedy_ids|greedy_logits|logits_bf16_compute|layer\.\d+\.router_logits)$/;

describe.each(goldenCases)("%s", (name) => {
  const golden = readGolden(name);

  test.each([
    { mode: "reference", tolerance: 1e-4 },
    { mode: "contract", tolerance: 1e-3 },
  ] as const)("$mode arithmetic reproduces the prompt's tensors and 32 greedy tokens", async ({ mode, tolerance }) => {
    const interpreter = await interpretCase(name, mode);
    const values = new Map<string, Tensor>();
    const { logits } = interpreter.forward(promptRows(golden.ids), (value, tensor) => values.set(value, tensor));

    const compared = [...golden.tensors].filter(([tensor]) => !notCompared.test(tensor));
    expect(compared.length).toBeGreaterThan(4);
    for (const [tensor, { data }] of compared) {
      const found = computed(tensor, values, interpreter, golden);
      expect(largestDifference(found, data), tensor).toBeLessThanOrEqual(tensor.endsWith("selected_experts") ? 0 : tolerance);
    }
    expect(
      largestDifference(continueGreedily(interpreter, golden, logits.at(-1)), goldenData(golden, "greedy_logits")),
    ).toBeLessThanOrEqual(tolerance);
  });
});

function promptRows(ids: readonly number[]): readonly Row[] {
  return ids.map((token, position) => ({ token, slot: 0, position, wantsLogits: true }));
}

/** What the interpreter has in place of a golden tensor, in the golden tensor's layout. */
function computed(tensor: string, values: ReadonlyMap<string, Tensor>, interpreter: Interpreter, golden: Golden): ArrayLike<number> {
  const [, kind, layer = "", part = ""] = /^(layer|cache)\.(\d+)\.(.+)$/.exec(tensor) ?? [];
  if (kind === "cache")
    return part === "conv" ? convolutionCache(interpreter, Number(layer), golden) : keyCache(interpreter, tensor, golden);
  if (part === "selected_experts" || part === "routing_weights") return routing(values, Number(layer), part, golden);
  const value = values.get(tensor);
  if (value?.kind !== "dense") throw new Error(`the graph computes no ${tensor}`);
  return value.data;
}

/** [T, K] in the golden tensor's order: the reference lists experts by falling score, the graph by rising index. */
function routing(values: ReadonlyMap<string, Tensor>, layer: number, part: string, golden: Golden): ArrayLike<number> {
  const experts = values.get(`layer.${layer}.router.experts`);
  const weights = values.get(`layer.${layer}.router.weights`);
  if (experts?.kind !== "index" || weights?.kind !== "dense") throw new Error(`layer ${layer} has no router`);
  const expected = goldenData(golden, `layer.${layer}.selected_experts`);
  const topK = experts.data.length / golden.ids.length;
  return Array.from(expected, (expert, i) => {
    const row = i - (i % topK);
    const at = experts.data.subarray(row, row + topK).indexOf(expert);
    return (part === "selected_experts" ? experts : weights).data[row + at] ?? NaN;
  });
}

/** Positions as rows [T, kvHeads * headSize] -> [kvHeads, T, headSize]. */
function keyCache(interpreter: Interpreter, tensor: string, golden: Golden): ArrayLike<number> {
  const [, layer, part] = tensor.split(".");
  if (part !== "k" && part !== "v") throw new Error(`unknown cache ${tensor}`);
  const { data, width } = interpreter.history(Number(layer), 0, part);
  const [heads = 0, length = 0, size = 0] = golden.tensors.get(tensor)?.shape ?? [];
  return Array.from({ length: heads * length * size }, (_, i) => {
    const [head, position, d] = [Math.floor(i / (length * size)), Math.floor(i / size) % length, i % size];
    return data[position * width + head * size + d] ?? NaN;
  });
}

/** The last L positions of s as columns [H, L], zero before the first. */
function convolutionCache(interpreter: Interpreter, layer: number, golden: Golden): ArrayLike<number> {
  const { data, width } = interpreter.history(layer, 0, "conv");
  const [channels = 0, length = 0] = golden.tensors.get(`cache.${layer}.conv`)?.shape ?? [];
  return Array.from({ length: channels * length }, (_, i) => {
    const position = golden.ids.length - length + (i % length);
    return position < 0 ? 0 : (data[position * width + Math.floor(i / length)] ?? NaN);
  });
}

/** Checks that each greedy choice is the golden one; returns the logits that chose, one row after the other. */
function continueGreedily(interpreter: Interpreter, golden: Golden, first: Float32Array | undefined): ArrayLike<number> {
  const rows: number[] = [];
  let logits = first;
  golden.greedyIds.forEach((expected, step) => {
    if (!logits) throw new Error("no logits");
    rows.push(...logits);
    const token = argmax(logits);
    expect(token, `greedy token ${step}`).toBe(expected);
    [logits] = interpreter.forward([{ token, slot: 0, position: golden.ids.length + step, wantsLogits: true }]).logits;
  });
  expect(golden.greedyIds).toHaveLength(32);
  return rows;
}

function goldenData(golden: Golden, tensor: string): Float32Array | Int32Array {
  const found = golden.tensors.get(tensor);
  if (!found) throw new Error(`no golden tensor ${tensor}`);
  return found.data;
}
