/** What the front makes of a completion: exactly what a session would have. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { answerOf } from "../../compiler/batch/record.ts";
import { demoTokenizer, fakeModel } from "../runtime/support.ts";

const tokenizer = demoTokenizer();
const end = 7;

test("a completion cut here is what a session gives that stops by itself, and that is cut no further", async () => {
  const words = tokenizer.encode("the cat 🐈 sat on the mat, é ü. the end", { addBos: false });
  const tokens = fc.array(fc.constantFrom(...words, end, 2), { minLength: 1, maxLength: 12 });
  const stops = fc.array(fc.constantFrom("t", "the", " sat on", "\uFFFD", "e e", "zz"), { maxLength: 2 });
  await fc.assert(
    fc.asyncProperty(tokens, stops, fc.integer({ min: 0, max: 14 }), async (script, stop, maxTokens) => {
      const limits = { vocabSize: 4096, eos: [2], context: 32, prefillChunk: 8, logitRows: 4, sessions: 2 };
      const { model } = fakeModel(limits, (history) => script[(history.length - 1) % script.length] ?? 2, tokenizer);
      const options = { maxTokens, temperature: 0, seed: 0 };
      const wanted = await model.createSession().complete([1], { ...options, stop, endTokens: [end] });
      const whole = await model.createSession().complete([1], options);
      const { text, tokens: kept, stopReason } = wanted;
      const ends = { stop, endTokens: [end] };
      expect(answerOf({ index: 0, ...whole }, ends, tokenizer)).toEqual({ text, tokens: kept, stopReason });
      expect(answerOf({ index: 0, ...wanted }, ends, tokenizer)).toEqual({ text, tokens: kept, stopReason });
    }),
    { numRuns: 80 },
  );
});
