/**
 * The interpreter on random models: under the contract the bits do not depend on how the rows are split into calls, who shares a
 * call, what was rewound, or whether nodes were fused; and the two arithmetics agree as far as rounding lets them.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createBuilder } from "../../compiler/graph/builder.ts";
import { readConstant } from "../../compiler/import/read-constant.ts";
import { createInterpreter, type Interpreter } from "../../compiler/graph/interpret.ts";
import type { ArithmeticMode } from "../../compiler/graph/arithmetic/arithmetic.ts";
import type { Graph } from "../../compiler/graph/types.ts";
import { buildRandomGraph, graphSpecs, type GraphSpec, randomRows, rowLengths, rowsFrom } from "./random-graph.ts";

const tokens = fc.array(fc.nat(), { minLength: 1, maxLength: 12 });
/** Lengths of calls, enough for the longest list of tokens. */
const cutLists = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 12, maxLength: 12 });

async function interpret(graph: Graph, mode: ArithmeticMode = "contract"): Promise<Interpreter> {
  const rows = randomRows(1, rowLengths(graph));
  return await createInterpreter(graph, (constant) => readConstant(rows, constant), mode);
}

function tokensOf(spec: GraphSpec, raw: readonly number[]): readonly number[] {
  return raw.map((token) => token % spec.vocabulary);
}

/** Logits as bits, so that -0 and +0 differ. */
function bits(logits: readonly Float32Array[]): readonly (readonly number[])[] {
  return logits.map((row) => [...new Int32Array(row.slice().buffer)]);
}

describe("under the contract the bits are the same", () => {
  test("for any split of the rows into calls", async () => {
    await fc.assert(
      fc.asyncProperty(graphSpecs, tokens, cutLists, async (spec, raw, cuts) => {
        const graph = buildRandomGraph(spec);
        const ids = tokensOf(spec, raw);
        const whole = (await interpret(graph)).forward(rowsFrom(ids)).logits;
        const pieces = await interpret(graph);
        const logits: Float32Array[] = [];
        let at = 0;
        for (const count of cuts) {
          if (at < ids.length) logits.push(...pieces.forward(rowsFrom(ids.slice(at, at + count), at)).logits);
          at += count;
        }
        expect(bits(logits)).toEqual(bits(whole));
      }),
      { numRuns: 60 },
    );
  });

  test("for sessions that share a call", async () => {
    await fc.assert(
      fc.asyncProperty(graphSpecs, tokens, tokens, async (spec, rawA, rawB) => {
        const graph = buildRandomGraph(spec);
        const alone = await Promise.all(
          [rawA, rawB].map(async (raw) => (await interpret(graph)).forward(rowsFrom(tokensOf(spec, raw))).logits),
        );
        const a = rowsFrom(tokensOf(spec, rawA), 0, 3);
        const b = rowsFrom(tokensOf(spec, rawB), 0, 1);
        const mixed = a.flatMap((row, i) => [row, ...b.slice(i, i + 1)]).concat(b.slice(a.length));
        const together = (await interpret(graph)).forward(mixed).logits;
        const of = (slot: number): readonly Float32Array[] => together.filter((_, i) => mixed[i]?.slot === slot);
        expect(bits([...of(3), ...of(1)])).toEqual(bits(alone.flat()));
      }),
      { numRuns: 60 },
    );
  });

  test("after a rewind", async () => {
    await fc.assert(
      fc.asyncProperty(graphSpecs, tokens, tokens, fc.nat(), async (spec, raw, other, back) => {
        const graph = buildRandomGraph(spec);
        const ids = tokensOf(spec, raw);
        const position = back % ids.length;
        const interpreter = await interpret(graph);
        const first = interpreter.forward(rowsFrom(ids)).logits;
        interpreter.forward(rowsFrom(tokensOf(spec, other), position));
        expect(interpreter.length(0)).toBe(position + other.length);
        const again = interpreter.forward(rowsFrom(ids.slice(position), position)).logits;
        expect(bits(again)).toEqual(bits(first.slice(position)));
        expect(interpreter.length(0)).toBe(ids.length);
      }),
      { numRuns: 60 },
    );
  });

  test("for fused and plain nodes", async () => {
    await fc.assert(
      fc.asyncProperty(graphSpecs, tokens, async (spec, raw) => {
        const run = async (fused: boolean) =>
          (await interpret(buildRandomGraph({ ...spec, fused }))).forward(rowsFrom(tokensOf(spec, raw))).logits;
        expect(bits(await run(true))).toEqual(bits(await run(false)));
      }),
      { numRuns: 60 },
    );
  });
});

test("reference and contract agree to rounding where activations are not quantised and no choice of experts is close", async () => {
  const specs = graphSpecs.map((spec) => ({
    ...spec,
    quantize: false,
    // All experts chosen: a near tie cannot flip a choice.
    layers: spec.layers.map(({ operator, feedForward }) => ({
      operator: operator.kind === "attention" ? { ...operator, kv: "f32" as const } : operator,
      feedForward: feedForward.kind === "moe" ? { ...feedForward, topK: feedForward.experts } : feedForward,
    })),
  }));
  await fc.assert(
    fc.asyncProperty(specs, tokens, async (spec, raw) => {
      const graph = buildRandomGraph(spec);
      const rows = rowsFrom(tokensOf(spec, raw));
      const reference = (await interpret(graph, "reference")).forward(rows).logits;
      const contract = (await interpret(graph, "contract")).forward(rows).logits;
      reference.forEach((row, i) => {
        row.forEach((value, n) => {
          expect(Math.abs(value - (contract[i]?.[n] ?? NaN))).toBeLessThan(2e-4 * Math.max(1, Math.abs(value)));
        });
      });
    }),
    { numRuns: 60 },
  );
});

test.each([
  ["f32", 1 + 2 ** -12],
  ["f16", 1],
  ["bf16", 1],
  ["f16", 1 + 2 ** -10],
  ["bf16", 1 + 2 ** -7],
  ["f16", 2 ** -24],
] as const)("a constant in %s holds %d if that is a number of the format, else the nearest", async (encoding, expected) => {
  const builder = createBuilder();
  const source = { tensor: "t", shape: [1, 1], start: 0, count: 1 };
  const table = builder.constant({ name: "table", type: { shape: [1, 1], encoding }, sources: [source] });
  const selected = builder.node("select-rows", [builder.node("embedding", [table], "embed")], "logits");
  // Off by less than half a step of the 16-bit formats, by none of binary32's.
  const value = encoding === "f32" ? expected : expected * (1 + 2 ** -12);
  const interpreter = await createInterpreter(
    builder.finish("constant", selected),
    () => Promise.resolve(Float32Array.of(value)),
    "contract",
  );
  expect(interpreter.forward(rowsFrom([0])).logits).toEqual([Float32Array.of(expected)]);
});

describe("rows that cannot be", () => {
  const spec: GraphSpec = {
    hidden: 4,
    vocabulary: 5,
    layers: [{ operator: { kind: "conv", width: 2, bias: false }, feedForward: { kind: "dense", width: 3 } }],
    weights: "f32",
    quantize: false,
    fused: false,
  };
  const row = { token: 1, slot: 0, position: 0, wantsLogits: true };
  test.each([
    ["no rows", [], "rows: a call needs at least one row"],
    ["a token beyond the vocabulary", [{ ...row, token: 5 }], "row 0: token 5 is not between 0 and 4"],
    ["half a token", [{ ...row, token: 0.5 }], "row 0: token 0.5"],
    ["a gap before the first", [{ ...row, position: 1 }], "row 0: position 1 of slot 0, which holds 0"],
    ["a gap inside the call", [row, { ...row, position: 2 }], "row 1: position 2 of slot 0, which holds 1"],
    ["one position twice", [row, row], "row 1: position 0 of slot 0, which holds 1"],
    ["a slot below 0", [{ ...row, slot: -1 }], "row 0: slot and position must be integers from 0"],
  ])("%s", async (_what, rows, message) => {
    const interpreter = await interpret(buildRandomGraph(spec));
    expect(() => interpreter.forward(rows)).toThrow(message);
  });

  test("logits come only for rows that want them", async () => {
    const interpreter = await interpret(buildRandomGraph(spec));
    const rows = rowsFrom([1, 2, 3]).map((each, i) => ({ ...each, wantsLogits: i === 1 }));
    const all = (await interpret(buildRandomGraph(spec))).forward(rowsFrom([1, 2, 3])).logits;
    expect(bits(interpreter.forward(rows).logits)).toEqual(bits(all.slice(1, 2)));
    expect(interpreter.forward([{ ...row, wantsLogits: false }]).logits).toEqual([]);
  });

  test("a reader must fill its constant", async () => {
    await expect(createInterpreter(buildRandomGraph(spec), () => Promise.resolve(new Float32Array(3)), "contract")).rejects.toThrow(
      "embedding: 3 values, expected 20",
    );
  });
});
