import { Tokenizer as Hub } from "@huggingface/tokenizers";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createTokenizer } from "../../runtime/tokenizer.ts";
import { demoTokenizer, readDemoJson, refusal } from "./support.ts";

const tokenizer = demoTokenizer();
const loneSurrogate = /\p{Surrogate}/u;
const samples = [
  "It is a truth universally acknowledged, that",
  "Ἐν ἀρχῇ ἦν ὁ λόγος — καλημέρα κόσμε",
  "天地玄黃,宇宙洪荒。こんにちは世界",
  "family 👨‍👩‍👧‍👦 flag 🇬🇷 wave 👋🏽 end",
  "naïve café\u0301 \u00ad\u{1F600}\u{1F600} \t\r\n  x  ",
  "\uFEFFa byte order mark stays",
];

/** The package's own decoding. Its class arrives untyped: its declarations do not resolve under Node's module rules. */
function packageDecoder(): (ids: readonly number[]) => unknown {
  const hub: unknown = Hub;
  if (!isConstructor(hub)) throw new Error("no tokenizer class");
  const options = { skip_special_tokens: true, clean_up_tokenization_spaces: false };
  const instance = new hub(readDemoJson("tokenizer.json"), {});
  return (ids) => instance.decode(ids, options);
}

function isConstructor(
  value: unknown,
): value is new (json: unknown, config: object) => { decode(ids: readonly number[], options: object): unknown } {
  return typeof value === "function";
}

test("a stream shows the special tokens that it is told to, and an id's content is what was written", () => {
  const ids = tokenizer.encode("<|im_start|>é👋<|im_end|>", { addBos: false });
  const shown = tokenizer.stream({ shown: [7] });
  expect(ids.map((id) => shown.push(id)).join("") + shown.flush()).toBe("é👋<|im_end|>");
  expect([1, 7].map((id) => tokenizer.contentOf(id))).toEqual(["<|startoftext|>", "<|im_end|>"]);
  expect(tokenizer.contentOf(1e6)).toBeUndefined();
});

describe("encode", () => {
  test("puts BOS first as the tokenizer's files say", () => {
    const ids = tokenizer.encode(samples[0] ?? "");
    expect(ids[0]).toBe(1);
    expect(tokenizer.encode(samples[0] ?? "", { addBos: false })).toEqual(ids.slice(1));
    expect(tokenizer.encode("")).toEqual([1]);
  });

  test("a text that begins with BOS gets no second one, special tokens in it become ids", () => {
    expect(tokenizer.encode("<|startoftext|><|im_start|>")).toEqual([1, 6]);
    expect(tokenizer.idOf("<|im_end|>")).toBe(7);
  });

  test("add_bos_token false in tokenizer_config.json wins over the post-processor", () => {
    const plain = createTokenizer(readDemoJson("tokenizer.json"), { add_bos_token: false }, 1);
    expect(plain.encode("truth")[0]).not.toBe(1);
    const unsaid = createTokenizer(readDemoJson("tokenizer.json"), {}, 1);
    expect(unsaid.encode("truth")[0]).toBe(1);
  });
});

describe("decode", () => {
  test.each(samples)("gives back %j", (text) => {
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  test("round trip of any text without special tokens", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 40 }), (text) => {
        fc.pre(!loneSurrogate.test(text));
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }),
      { numRuns: 300 },
    );
  });

  test("agrees with the package on any ids, broken characters included", () => {
    const decode = packageDecoder();
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 4095 }), { minLength: 1, maxLength: 12 }), (ids) => {
        expect(tokenizer.decode(ids)).toBe(decode(ids));
      }),
      { numRuns: 300 },
    );
  });

  test("special tokens and unknown ids have no text", () => {
    expect(tokenizer.decode([1, 6, 7, 2, 999_999])).toBe("");
  });
});

describe("stream", () => {
  test.each(samples)("emits whole characters only: %j", (text) => {
    const ids = tokenizer.encode(text);
    const stream = tokenizer.stream();
    let shown = "";
    for (const id of ids) {
      const piece = stream.push(id);
      expect(piece).not.toContain("\uFFFD");
      expect(piece).not.toMatch(loneSurrogate);
      shown += piece;
      expect(text.startsWith(shown)).toBe(true);
    }
    expect(shown + stream.flush()).toBe(text);
  });

  test.each(samples)("every cut of the ids decodes to the same text: %j", (text) => {
    const ids = tokenizer.encode(text);
    for (let cut = 0; cut <= ids.length; cut++) {
      const stream = tokenizer.stream();
      const head = ids.slice(0, cut).map((id) => stream.push(id));
      const tail = ids.slice(cut).map((id) => stream.push(id));
      expect(head.join("") + tail.join("") + stream.flush()).toBe(text);
    }
  });

  test("a character split over tokens comes with its last token, an unfinished one as U+FFFD at the end", () => {
    const ids = tokenizer.encode("😀", { addBos: false });
    expect(ids.length).toBeGreaterThan(1);
    const stream = tokenizer.stream();
    const pieces = ids.map((id) => stream.push(id));
    expect(pieces.slice(0, -1).join("")).toBe("");
    expect(pieces.at(-1)).toBe("😀");
    expect(tokenizer.decode(ids.slice(0, -1))).toContain("\uFFFD");
  });
});

test("refuses what is no byte-level tokenizer", async () => {
  expect(await refusal(() => createTokenizer({ model: { type: "BPE" }, decoder: { type: "Metaspace" } }, {}, 1))).toMatchObject({
    code: "artefact/invalid",
  });
  expect(await refusal(() => createTokenizer({ model: { type: "Unigram" }, decoder: { type: "ByteLevel" } }, {}, 1))).toMatchObject({
    code: "artefact/invalid",
  });
  expect(await refusal(() => createTokenizer("x", {}, 1))).toMatchObject({ code: "artefact/invalid" });
});
