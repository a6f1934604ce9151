/** Which samples count on a machine that is disturbed now and then; no clock is looked at. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { calmSamples, quantile, type Reference } from "../../compiler/explore/calm-samples.ts";
import { required } from "../../compiler/errors.ts";

/** Gives the numbers of a list one after the other. */
function from(numbers: readonly number[]): () => number {
  let next = 0;
  return () => required(numbers[next++], "number");
}

/** The fixed work takes these times by the clock, and 1 of the processor. */
function references(seconds: readonly number[]): () => Reference {
  const next = from(seconds);
  return () => ({ seconds: next(), processorSeconds: 1 });
}

const patient = { least: 3, most: 10, seconds: Infinity };

describe("calm samples", () => {
  test("are those between two fast references, however long they took themselves", () => {
    const found = calmSamples(patient, from([9, 10, 50, 60, 11, 70]), references([1, 1, 1.05, 2, 1, 1.02, 1]));
    expect(found.samples).toEqual([9, 10, 11]);
    expect(found.references.map(({ seconds }) => seconds)).toEqual([1, 1, 1.05, 2, 1, 1.02]);
  });

  test("are none of those where the fixed work was interrupted, even if it always was", () => {
    const always = references([2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1]);
    expect(calmSamples(patient, from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), always).samples).toEqual([7, 8, 9]);
  });

  test("are no more than asked for where all are calm", () => {
    expect(calmSamples(patient, from([1, 2, 3]), references([1, 1, 1, 1])).samples).toEqual([1, 2, 3]);
  });

  test("are looked for as long as patience lasts", () => {
    const disturbed = references([1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]);
    expect(calmSamples(patient, from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), disturbed).samples).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(calmSamples({ ...patient, seconds: 0 }, from([1, 2, 3]), references([1, 2, 1, 2])).references).toHaveLength(4);
  });

  test("are some of the samples, never none, of which there are enough", () => {
    const times = fc.array(fc.double({ min: 0.5, max: 4, noNaN: true }), { minLength: 12, maxLength: 12 });
    fc.assert(
      fc.property(times, times, (taken, seconds) => {
        const found = calmSamples(patient, from(taken), references(seconds));
        expect(found.samples.length).toBeGreaterThan(0);
        expect(found.references.length).toBeGreaterThan(patient.least);
        expect(taken.slice(0, found.references.length - 1)).toEqual(expect.arrayContaining([...found.samples]));
      }),
    );
  });
});

test("a quantile is one of the samples", () => {
  expect([0, 0.25, 0.5, 0.9, 1].map((share) => quantile([3, 1, 2, 5, 4], share))).toEqual([1, 2, 3, 5, 5]);
});
