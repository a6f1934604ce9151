/** Calibration of small models: what it sees, and the store that it makes. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { evaluate, readDenseModel, denseData, type DenseModel } from "../../compiler/quantize/dense-model.ts";
import { calibrate, type Calibration } from "../../compiler/quantize/calibrate.ts";
import { calibratedStore } from "../../compiler/quantize/calibrated-store.ts";
import { budgetFormats, improve, spreadWindows } from "../../compiler/quantize/index.ts";
import { sampleWindows } from "../../compiler/quantize/sample.ts";
import { importModel, type ImportedModel } from "../../compiler/import/model.ts";
import { groupFormats } from "../../compiler/numeric/weight-groups.ts";
import { matricesOf } from "../../compiler/passes/matrices.ts";
import { caseFolder, readGolden, type GoldenCase } from "../golden/read.ts";

const { q4_0: q4 } = groupFormats;

interface Subject {
  readonly model: ImportedModel;
  readonly dense: DenseModel;
  readonly calibration: Calibration;
}

async function subjectOf(name: GoldenCase): Promise<Subject> {
  const model = await importModel(caseFolder(name));
  const dense = await readDenseModel(model.graph, model.store);
  return { model, dense, calibration: calibrate(dense, [readGolden(name).ids]) };
}

describe("a dense model", () => {
  let subject: Subject;
  beforeAll(async () => {
    subject = await subjectOf("dense-tiny");
  });
  afterAll(() => subject.model.store.close());

  const of = (tensor: string) => subject.calibration.rows.get(tensor)?.map(({ moments }) => moments);

  test("is evaluated like the reference", () => {
    const { ids, tensors } = readGolden("dense-tiny");
    const rows = ids.map((token, position) => ({ token, slot: 0, position, wantsLogits: true }));
    const logits = denseData(evaluate(subject.dense, rows).get(subject.dense.graph.output));
    const expected = tensors.get("logits")?.data ?? [];
    expect(logits.length).toBe(expected.length);
    expect(Math.max(...logits.map((logit, i) => Math.abs(logit - (expected[i] ?? NaN))))).toBeLessThan(1e-3);
  });

  test("matrices that read the same input share its moments, others don't", () => {
    const layer = "model.layers.1.";
    const [q, k, v, out] = ["q_proj", "k_proj", "v_proj", "out_proj"].map((name) => of(`${layer}self_attn.${name}.weight`)?.[0]);
    expect(k).toBe(q);
    expect(v).toBe(q);
    expect(out).not.toBe(q);
    expect(of(`${layer}feed_forward.w3.weight`)).toEqual(of(`${layer}feed_forward.w1.weight`));
    expect(q?.count).toBe(readGolden("dense-tiny").ids.length);
  });

  test("an error of a looked-up row costs what every reader of the stream makes of it", () => {
    const { graph, constants } = subject.dense;
    const rows = readGolden("dense-tiny").ids.map((token, position) => ({ token, slot: 0, position, wantsLogits: true }));
    const values = evaluate(subject.dense, rows);
    const norms = graph.nodes.filter(({ op, attributes }) => op === "rms-norm" && attributes.width === 64);
    let expected = 0;
    for (const { inputs, outputs } of norms) {
      const stream = denseData(values.get(inputs[0] ?? ""));
      const square = stream.reduce((sum, x) => sum + x * x, 0) / stream.length;
      const gain = denseData(constants.get(inputs[1] ?? ""))[3] ?? 0;
      for (const reader of graph.nodes.filter((node) => node.op === "linear" && node.inputs[0] === outputs[0])) {
        const column = denseData(constants.get(reader.inputs[1] ?? "")).filter((_, i) => i % 64 === 3);
        for (const weight of column) expected += (weight * gain) ** 2 / square;
      }
    }
    const found = subject.calibration.lookups.get("model.embed_tokens.weight")?.triangle()[3 * 2 + 3];
    expect(norms.length).toBe(9);
    expect((found ?? NaN) / expected).toBeCloseTo(1, 4);
  });

  test("any range of rows has the same groups, each time", async () => {
    const store = calibratedStore(subject.model.store, subject.calibration);
    for (const tensor of ["model.layers.0.feed_forward.w2.weight", "model.embed_tokens.weight"]) {
      const whole = await store.readGroups(tensor, q4, 0, 64);
      const again = calibratedStore(subject.model.store, calibrate(subject.dense, [readGolden("dense-tiny").ids]));
      const part = await again.readGroups(tensor, q4, 17, 20);
      const perRow = whole.columns / 32;
      expect(part.u).toEqual(whole.u.subarray(17 * whole.columns, 37 * whole.columns));
      expect(part.scales).toEqual(whole.scales.subarray(17 * perRow, 37 * perRow));
    }
  });

  test("what the file holds in the format that is asked for is kept", async () => {
    const { store } = subject.model;
    const tensors = new Map([...store.tensors].map(([name, info]) => [name, { ...info, keep: "q4_0" as const }]));
    const kept = calibratedStore(
      { ...store, tensors, readRows: store.readRows.bind(store), readGroups: store.readGroups.bind(store), close: () => Promise.resolve() },
      subject.calibration,
    );
    const tensor = "model.layers.0.feed_forward.w1.weight";
    const own = await store.readGroups(tensor, q4, 0, 32);
    expect(await kept.readGroups(tensor, q4, 0, 32)).toEqual(own);
    expect(await calibratedStore(store, subject.calibration).readGroups(tensor, q4, 0, 32)).not.toEqual(own);
  });

  test("text that it writes itself is the same each time, and windows differ", () => {
    const windows = sampleWindows(subject.dense, 1, 3, 9);
    expect(windows.map((window) => [window[0], window.length])).toEqual([
      [1, 9],
      [1, 9],
      [1, 9],
    ]);
    expect(sampleWindows(subject.dense, 1, 3, 9)).toEqual(windows);
    expect(new Set(windows.map(String)).size).toBe(3);
  });
});

describe("a mixture of experts", () => {
  test("each expert has the moments of its own rows, which its first two matrices share", async () => {
    const { model, calibration } = await subjectOf("moe-tiny");
    await model.store.close();
    const of = (expert: number, name: string) => {
      return calibration.rows.get(`model.layers.2.feed_forward.experts.${expert}.${name}.weight`)?.[0]?.moments;
    };
    const experts = Array.from({ length: 8 }, (_, expert) => of(expert, "w1"));
    const seen = experts.filter((moments) => moments !== undefined);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.reduce((sum, { count }) => sum + count, 0)).toBe(2 * readGolden("moe-tiny").ids.length);
    experts.forEach((moments, expert) => {
      expect(of(expert, "w3")).toBe(moments);
      expect(of(expert, "w2")?.count).toBe(moments?.count);
    });
  });

  test("experts are calibrated one by one, and a budget gives all of them one format", async () => {
    const model = await importModel(caseFolder("moe-tiny"));
    const names = matricesOf(model.graph);
    const matrices = model.graph.constants.filter(({ name }) => names.has(name));
    const tokens = Array.from({ length: 24 }, (_, i) => (7 * i * i) % 256);
    const { store, formats } = await improve(model.graph, model.store, { tokens, bos: 1, budget: 4.5, formats: budgetFormats, matrices });
    try {
      expect(formats?.bits).toBeLessThanOrEqual(4.5);
      expect(formats?.byTensor.size).toBe(matrices.flatMap(({ sources }) => sources).length);
      for (const { sources } of matrices) expect(new Set(sources.map(({ tensor }) => formats?.byTensor.get(tensor))).size).toBe(1);
      const [first] = matrices;
      expect((await store.readGroups(first?.sources[0]?.tensor ?? "", q4, 0, 1)).columns).toBe(64);
    } finally {
      await store.close();
    }
  });
});

test("windows are spread over the text, with BOS in front", () => {
  const tokens = Array.from({ length: 100 }, (_, i) => i + 10);
  expect(spreadWindows(tokens, 1, 2, 11)).toEqual([
    [1, ...tokens.slice(0, 10)],
    [1, ...tokens.slice(50, 60)],
  ]);
  expect(spreadWindows(tokens.slice(0, 5), null, 8, 11)).toEqual([tokens.slice(0, 5)]);
});
