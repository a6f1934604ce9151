/** The line that tells how far a batch has come. */
import { expect, test } from "vitest";
import { BatchProgress } from "../../compiler/batch/progress.ts";

test("says what is done, how fast it went lately, and how long the rest takes", () => {
  let now = 0;
  const progress = new BatchProgress(2000, 0, () => now);
  expect(progress.line(0, 0)).toBe("0 of 2,000 lines");
  now = 10_000;
  expect(progress.line(0, 5)).toBe("0 of 2,000 lines · 0.5 tok/s · 0.0 lines/s");
  now = 20_000;
  expect(progress.line(820, 6240)).toBe("820 of 2,000 lines · 312 tok/s · 41 lines/s · 0:29 left");
  // What is more than half a minute ago counts no more.
  for (now = 30_000; now <= 120_000; now += 10_000) progress.line(820 + now / 10_000, 6240);
  now = 130_000;
  expect(progress.line(833, 6240)).toBe("833 of 2,000 lines · 0.0 tok/s · 0.1 lines/s · 3:14:30 left");
});

test("lines that were there before are no speed", () => {
  let now = 0;
  const progress = new BatchProgress(1_000_000, 500_000, () => now);
  now = 1000;
  expect(progress.line(500_001, 7)).toBe("500,001 of 1,000,000 lines · 7.0 tok/s · 1.0 lines/s · 5 d 18:53:19 left");
});
