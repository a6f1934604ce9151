/** What a line's fields come to: a prompt in tokens, a number of tokens, a seed; or what is wrong with them. */
import { expect, test } from "vitest";
import { prepare, type Preparation } from "../../compiler/batch/prepare.ts";
import { createChatTemplate, encodeChat } from "../../runtime/chat/index.ts";
import { demoTokenizer, fakeManifest, fakeModel } from "../runtime/support.ts";
import { chatTemplate } from "../serve/support.ts";

const tokenizer = demoTokenizer();
const shape = { vocabSize: 4096, context: 40 };
const template = createChatTemplate(chatTemplate, {});
const preparation: Preparation = {
  manifest: fakeManifest(shape),
  text: { tokenizer, template, sha256: "" },
  ...{ maxTokens: 9, seed: 100, now: new Date(0) },
};

function prepared(fields: Readonly<Record<string, unknown>>, other: Partial<Preparation> = {}): ReturnType<typeof prepare> {
  return prepare({ index: 5, id: undefined, content: { fields } }, { ...preparation, ...other });
}

test("a text, ids or a conversation is a prompt", () => {
  const common = { index: 5, maxTokens: 9, seed: 105, endTokens: [] };
  expect(prepared({ prompt: "Emma", tokens: null })).toEqual({ ...common, tokens: tokenizer.encode("Emma") });
  expect(prepared({ tokens: [4, 5], seed: 3, max_tokens: 2 })).toEqual({ ...common, tokens: [4, 5], seed: 3, maxTokens: 2 });
  const messages = [{ role: "user" as const, content: "hi" }];
  const { model } = fakeModel(shape, undefined, tokenizer);
  const chat = { ...common, tokens: encodeChat(model, messages, { template }), endTokens: [tokenizer.idOf("<|im_end|>")] };
  expect(prepared({ messages })).toEqual(chat);
  expect(prepared({ messages: JSON.stringify(messages) })).toEqual(chat);
});

test("a template is told the time at which the batch was begun", () => {
  const dated = createChatTemplate("{{ strftime_now('%Y') }}", {});
  const text = { ...preparation.text, template: dated };
  expect(prepared({ messages: [] }, { text, now: new Date("1999-06-01") })).toMatchObject({ tokens: tokenizer.encode("1999") });
});

test("seeds count up from the first, and begin anew after the largest", () => {
  expect(prepared({ tokens: [4] }, { seed: Number.MAX_SAFE_INTEGER - 5 })).toMatchObject({ seed: Number.MAX_SAFE_INTEGER });
  expect(prepared({ tokens: [4] }, { seed: Number.MAX_SAFE_INTEGER - 4 })).toMatchObject({ seed: 0 });
});

test.each([
  [{}, "line: has none of prompt, tokens and messages"],
  [{ prompt: "a", messages: [] }, "line: has prompt and messages, which must not come together"],
  [{ prompt: 5 }, "prompt: is not a text"],
  [{ tokens: [] }, "tokens: holds no token"],
  [{ tokens: [4096] }, "tokens: is not a list of token ids below 4096"],
  [{ tokens: [1.5] }, "tokens: is not a list of token ids below 4096"],
  [{ tokens: "1,2" }, "tokens: is not a list of token ids below 4096"],
  [{ tokens: [1], seed: -1 }, "seed: is not a whole number of at least 0"],
  [{ tokens: [1], maxTokens: "9" }, "maxTokens: is not a whole number of at least 0"],
  [{ tokens: [1], maxTokens: 9, max_tokens: 9 }, "line: has both maxTokens and max_tokens"],
  [{ messages: [{ role: "robot" }] }, 'line: messages.0.role is "robot"; expected system, user, assistant or tool'],
  [{ messages: "[" }, "messages: are not JSON"],
])("%j is refused", (fields, message) => {
  expect(prepared(fields)).toMatchObject({ code: expect.stringMatching(/^(run\/input|config\/invalid)$/) as string, message });
});

test("what leaves no room in the context is refused, long texts before they are looked at", () => {
  const room = { code: "run/context" };
  expect(prepared({ tokens: Array.from({ length: 39 }, () => 5) })).not.toMatchObject(room);
  expect(prepared({ tokens: Array.from({ length: 40 }, () => 5) })).toMatchObject(room);
  expect(prepared({ prompt: "a ".repeat(40) })).toMatchObject(room);
  expect(prepared({ prompt: "a".repeat(2 ** 24) })).toMatchObject(room);
});

test("texts need a tokenizer, conversations a template", () => {
  const bare = { text: { tokenizer: null, template: null, sha256: "" } };
  expect(prepared({ prompt: "a" }, bare)).toMatchObject({ message: "prompt: is a text, and the model has no tokenizer" });
  const untold = { text: { ...preparation.text, template: null } };
  expect(prepared({ messages: [] }, untold)).toMatchObject({ message: "messages: need a chat template, and the model has none" });
});
