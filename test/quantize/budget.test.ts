/** Formats under a budget: never above it, never worse for a larger one, and the best there is where all mixtures can be tried. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { panelBytes } from "../../compiler/kernel/library/panels.ts";
import { budgetFormats, chooseWithin, groupBytes, type MatrixCosts } from "../../compiler/quantize/budget.ts";

/** Matrices whose loss falls from format to format. */
const matrices = fc.array(
  fc.record({
    groups: fc.integer({ min: 1, max: 1000 }),
    loss: fc.double({ min: 1e-6, max: 1, noNaN: true }),
    shares: fc.tuple(...budgetFormats.map(() => fc.double({ min: 0, max: 1, noNaN: true }))),
  }),
  { minLength: 1, maxLength: 6 },
);

function costsOf(cases: readonly { groups: number; loss: number; shares: readonly number[] }[]): readonly MatrixCosts[] {
  return cases.map(({ groups, loss, shares }, i) => ({
    name: `matrix ${i}`,
    weights: 32 * groups,
    costs: budgetFormats.map((format, f) => ({
      format: format.name,
      bytes: groups * groupBytes(format),
      loss: shares.slice(0, f).reduce((left, share) => left * share, loss),
    })),
  }));
}

const bits = fc.double({ min: 3.5, max: 9, noNaN: true });

test("formats come by size, with the bytes that panels take", () => {
  expect(budgetFormats.map(({ name }) => name)).toEqual(["q3_0", "q4_0", "q4_1", "q8_0"]);
  for (const format of budgetFormats) {
    const layout = { matrices: 1, streams: 1, rows: 16, columns: 64, encoding: { weights: format.name, scales: "f16" } } as const;
    expect(groupBytes(format) * 32).toBe(panelBytes(layout));
  }
});

describe("a choice", () => {
  test("fits its budget, and says what it takes", () => {
    fc.assert(
      fc.property(matrices, bits, (cases, budget) => {
        const costs = costsOf(cases);
        const { chosen, bytes, loss } = chooseWithin(costs, budget);
        const weights = costs.reduce((sum, matrix) => sum + matrix.weights, 0);
        expect(bytes).toBe(chosen.reduce((sum, cost) => sum + cost.bytes, 0));
        expect(loss).toBeCloseTo(chosen.reduce((sum, cost) => sum + cost.loss, 0));
        expect(bytes * 8).toBeLessThanOrEqual(budget * weights);
      }),
    );
  });

  test("of a larger budget never costs more", () => {
    fc.assert(
      fc.property(matrices, bits, fc.double({ min: 0, max: 2, noNaN: true }), (cases, budget, more) => {
        const costs = costsOf(cases);
        expect(chooseWithin(costs, budget + more).loss).toBeLessThanOrEqual(chooseWithin(costs, budget).loss + 1e-12);
      }),
    );
  });

  test("takes bits from where they gain least", () => {
    const costs = costsOf([
      { groups: 100, loss: 1, shares: [0.25, 0.8, 0.01, 1] },
      { groups: 100, loss: 0.001, shares: [0.25, 0.8, 0.01, 1] },
    ]);
    expect(chooseWithin(costs, 6).chosen.map(({ format }) => format)).toEqual(["q8_0", "q3_0"]);
  });

  test.each([3.4, 0, -1, NaN])("of %d bits is refused, with what would do", (budget) => {
    const hint = "give 3.5 or more: the mean number of bits of a weight, scales and padding included";
    const choose = () => chooseWithin(costsOf([{ groups: 10, loss: 1, shares: [1, 1, 1, 1] }]), budget);
    expect(choose).toThrow(expect.objectContaining({ code: "usage/flag", subject: "--budget", hint }));
  });
});
