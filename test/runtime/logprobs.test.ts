import fc from "fast-check";
import { expect, test } from "vitest";
import { logprobsOf } from "../../runtime/logprobs.ts";
import { fakeModel, refusal } from "./support.ts";

test("are log-softmax of the logits", () => {
  const logits = Float32Array.from([0.1, 0.2, 0.7], Math.log);
  const { logprob, top } = logprobsOf(logits, 1, 2);
  expect(Math.exp(logprob)).toBeCloseTo(0.2, 6);
  expect(top.map(({ token }) => token)).toEqual([2, 1]);
  expect(top.map(({ logprob: value }) => Math.exp(value))).toEqual([expect.closeTo(0.7, 6), expect.closeTo(0.2, 6)]);
  expect(top[1]?.logprob).toBe(logprob);
});

test("sum to one, keep the rank with ties to the lower id, and are binary32", () => {
  const value = fc.oneof(fc.float({ noNaN: true, min: -60, max: 60 }), fc.constantFrom(0, 1, 1, -Infinity));
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 80 }), fc.nat(20), (values, count) => {
      fc.pre(values.some((one) => one > -Infinity));
      const logits = Float32Array.from(values);
      const all = logprobsOf(logits, 0, logits.length).top;
      expect(all.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)).toBeCloseTo(1, 5);
      const order = [...logits.keys()].sort((a, b) =>
        (logits[a] ?? 0) === (logits[b] ?? 0) ? a - b : (logits[b] ?? 0) > (logits[a] ?? 0) ? 1 : -1,
      );
      expect(all.map(({ token }) => token)).toEqual(order);
      expect(all.every(({ logprob }) => Object.is(Math.fround(logprob), logprob))).toBe(true);
      expect(logprobsOf(logits, 0, count).top).toEqual(all.slice(0, count));
    }),
  );
});

test("none of the alternatives where none are asked for; -Infinity for what cannot come", () => {
  expect(logprobsOf(Float32Array.of(1, -Infinity), 1, 0)).toEqual({ logprob: -Infinity, top: [] });
  expect(logprobsOf(Float32Array.of(5), 0, 3)).toEqual({ logprob: 0, top: [{ token: 0, logprob: 0 }] });
});

test("pinned: the last bit must not differ between engines", () => {
  const logits = Float32Array.from({ length: 1000 }, (_, i) => Math.fround(((i * 7919) % 1000) / 70));
  expect(logprobsOf(logits, 3, 2)).toMatchInlineSnapshot(`
    {
      "logprob": -7.712772369384766,
      "top": [
        {
          "logprob": -4.255629539489746,
          "token": 321,
        },
        {
          "logprob": -4.269914627075195,
          "token": 642,
        },
      ],
    }
  `);
});

test("tokens and logits that are none are refused", async () => {
  expect(await refusal(() => logprobsOf(Float32Array.of(1, 2), 2, 1))).toMatchObject({ code: "run/input" });
  expect(await refusal(() => logprobsOf(Float32Array.of(NaN), 0, 1))).toMatchObject({ code: "run/input" });
});

test("a generation tells those of the raw logits, whatever was done to choose", async () => {
  const { model } = fakeModel();
  const parts = [];
  const only = new Uint32Array([1 << 7]);
  const session = model.createSession();
  for await (const part of session.generate([1, 2], { maxTokens: 3, logprobs: 2, temperature: 0, constrain: () => only })) parts.push(part);
  const other = model.createSession();
  for (const [i, { token, logprob }] of parts.entries()) {
    const [logits] = await model.evaluate([{ session: other, tokens: i === 0 ? [1, 2] : [7] }]);
    expect(token).toBe(7);
    expect(logprob).toEqual(logprobsOf(logits ?? new Float32Array(), 7, 2));
  }
});
