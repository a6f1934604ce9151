/**
 * The Python package of a C artefact against the JavaScript runtime on the same library: tokens, text, logits, saved sessions and refusals. The library's
 * unit is the fake one, with the demo model's tokenizer, so that everything but the arithmetic is real. One Python process does it all.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import * as v from "valibot";
import { beforeAll, describe, expect, test } from "vitest";
import { buildLibrary } from "../../compiler/native/build.ts";
import type { GenerateOptions, Manifest, Model } from "../../runtime/index.ts";
import { StopStrings } from "../../runtime/stop-strings.ts";
import { TextStream } from "../../runtime/text-stream.ts";
import { moduleName, pythonFiles } from "../../targets/c/python-project.ts";
import { firstDifference, someTokens, workFolder } from "../model/support.ts";
import { openNative, writeFakeArtefact } from "../native/support.ts";
import { demoFolder } from "../runtime/support.ts";

const folder = join(await workFolder(), "fake");
const shape = { vocabSize: 4096, context: 120, sessions: 3, prefillChunk: 12, logitRows: 5, rewind: 8, eos: [2, 7] };
const sampling = { temperature: 0.6, topK: 30, topP: 1, minP: 0, repetitionPenalty: 1 };

/** One generation, after tokens that the session has already; options as both sides take them. */
interface Case {
  readonly before: readonly number[];
  readonly prompt: readonly number[];
  readonly options: Readonly<Record<string, number | boolean | string | readonly string[] | readonly number[]>> & { readonly seed: number };
}

const ids = (minLength: number, maxLength: number) => fc.array(fc.nat(shape.vocabSize - 1), { minLength, maxLength });
const caseOf: fc.Arbitrary<Case> = fc.record({
  before: ids(0, 45),
  prompt: ids(1, 40),
  options: fc.record(
    {
      seed: fc.maxSafeNat(),
      max_tokens: fc.nat(60),
      temperature: fc.constantFrom(0, 0.4, 1.3),
      top_k: fc.constantFrom(0, 5, 400),
      top_p: fc.constantFrom(0.3, 0.95, 1),
      min_p: fc.constantFrom(0, 0.05),
      repetition_penalty: fc.constantFrom(1, 1.1),
      stop: fc.constantFrom("e", [" the", "a", "ing"], ["\uFFFD", "er"], ["nowhere at all"]),
      ignore_eos: fc.boolean(),
      end_tokens: fc.constantFrom(
        [],
        Array.from({ length: 600 }, (_, i) => i * 6),
      ),
    },
    { requiredKeys: ["seed", "max_tokens"] },
  ),
});
const cases: readonly Case[] = [
  // Fills its context.
  { before: someTokens(90, shape.vocabSize), prompt: [1], options: { seed: 1, max_tokens: 60, ignore_eos: true } },
  ...fc.sample(caseOf, { numRuns: 40, seed: 4 }),
];

/** Bytes in pieces, whole characters or not, and strings that may end them. */
const streams = fc.sample(
  fc.record({
    pieces: fc.array(
      fc.oneof(
        fc.array(fc.constantFrom(0x61, 0x62, 0x80, 0xa0, 0xbf, 0xc2, 0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf4, 0xff), { maxLength: 4 }),
        fc.constantFrom("a", "ab", "€", "𝄞", "\uFEFF").map((text) => [...Buffer.from(text)]),
        fc.constantFrom([0xe2], [0x82, 0xac], [0xf0, 0x9d], [0x84, 0x9e]),
      ),
      { maxLength: 12 },
    ),
    stops: fc.array(fc.constantFrom("", "a", "ab", "ba", "aab", "€a", "€", "𝄞", "b𝄞", "\uFFFDa"), { maxLength: 3 }),
  }),
  { numRuns: 400, seed: 4 },
);

/** Settings out of range, as Python spells them. */
const wrong = [
  ["temperature", -1],
  ["top_p", 1.5],
  ["min_p", -0.5],
  ["top_k", -1],
  ["repetition_penalty", 0],
  ["seed", 2 ** 53],
  ["max_tokens", -1],
] as const;

const completion = v.object({
  text: v.string(),
  tokens: v.array(v.number()),
  prompt_tokens: v.number(),
  stop_reason: v.string(),
  seed: v.number(),
});
const answerSchema = v.object({
  facts: v.array(v.union([v.number(), v.string()])),
  cases: v.array(v.object({ ...completion.entries, parts: v.array(v.tuple([v.number(), v.string()])), all: v.array(v.number()) })),
  batch: v.object({ isSame: v.boolean(), completions: v.array(completion) }),
  moved: v.object({ before: v.array(v.number()), tokens: v.array(v.number()), all: v.array(v.number()), saved: v.string() }),
  logits: v.string(),
  refusals: v.record(v.string(), v.unknown()),
  decoded: v.string(),
  streams: v.array(v.object({ text: v.array(v.string()), stops: v.array(v.tuple([v.string(), v.boolean()])), rest: v.string() })),
  isShared: v.boolean(),
});

const python = spawnSync("python3", ["-c", "import sys; sys.exit(sys.version_info < (3, 9))"]).status === 0;

/** An artefact of the fake unit that knows text and is a Python project. */
function writeArtefact(): Manifest {
  const files = { tokenizer: "tokenizer.json", tokenizerConfig: "tokenizer_config.json", chatTemplate: null };
  const manifest: Manifest = { ...writeFakeArtefact(folder, shape), files, sampling };
  writeFileSync(join(folder, "manifest.json"), JSON.stringify(manifest));
  for (const path of [files.tokenizer, files.tokenizerConfig]) copyFileSync(new URL(path, demoFolder), join(folder, path));
  for (const { path, text } of pythonFiles({ manifest, license: null, chatTemplate: null, weightsHash: "", python: true })) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return manifest;
}

/** Options as the JavaScript runtime spells them. */
function optionsOf({ options }: Case): GenerateOptions {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()), value]),
  );
}

describe.skipIf(!python)("the package (skipped: no python3 of at least 3.9)", () => {
  const tokens = someTokens(50, shape.vocabSize);
  let model: Model;
  let answer: v.InferOutput<typeof answerSchema>;

  beforeAll(async () => {
    const manifest = writeArtefact();
    const { path } = await buildLibrary(folder, manifest);
    model = await openNative(folder);
    const session = model.createSession();
    await session.complete([3, 1, 4, 1, 5], { maxTokens: 30, seed: 3, ignoreEos: true });
    const input = {
      folder,
      module: moduleName(manifest.name),
      library: path,
      cases,
      batchOptions: { stop: ["er"], temperature: 0.8, top_k: 20 },
      saved: Buffer.from(session.save()).toString("base64"),
      tokens,
      wrong,
      streams,
    };
    session.release();
    const driver = fileURLToPath(new URL("driver.py", import.meta.url));
    const { stdout, stderr } = spawnSync("python3", ["-W", "error", driver], {
      input: JSON.stringify(input),
      encoding: "utf8",
      maxBuffer: 2 ** 26,
    });
    expect(stderr).toBe("");
    answer = v.parse(answerSchema, JSON.parse(stdout));
  });

  test("tells what was compiled", () => {
    expect(answer.facts).toEqual([120, 3, 4096, "scalar", 1]);
  });

  test("generates what the runtime generates: parts, text, reason, whatever is asked for", async () => {
    for (const [i, each] of cases.entries()) {
      const session = model.createSession();
      if (each.before.length > 0) await session.complete(each.before, { maxTokens: 0 });
      const parts: (readonly [number, string])[] = [];
      for await (const { token, text } of session.generate(each.prompt, optionsOf(each))) parts.push([token, text]);
      expect({ ...each, found: answer.cases[i] }).toEqual({
        ...each,
        found: {
          parts,
          text: parts.map(([, text]) => text).join(""),
          tokens: parts.map(([token]) => token),
          prompt_tokens: session.result?.stats.promptTokens,
          stop_reason: session.stopReason,
          seed: each.options.seed,
          all: session.tokens,
        },
      });
      session.release();
    }
  });

  test("reasons of every kind come up", () => {
    expect(new Set(answer.cases.map(({ stop_reason: reason }) => reason))).toEqual(new Set(["eos", "length", "stop", "context"]));
  });

  test("a batch gives each prompt what it gives alone, here and in the runtime", async () => {
    expect(answer.batch.isSame).toBe(true);
    for (const [i, { before, prompt, options }] of cases.entries()) {
      const session = model.createSession();
      const { seed, max_tokens: maxTokens } = options;
      const alone = await session.complete([...before, ...prompt], {
        seed,
        maxTokens: Number(maxTokens),
        stop: ["er"],
        temperature: 0.8,
        topK: 20,
      });
      session.release();
      expect(answer.batch.completions[i]).toMatchObject({ tokens: alone.tokens, text: alone.text, stop_reason: alone.stopReason });
    }
  });

  test("threads of a process share a model, and give what they give alone", () => {
    expect(answer.isShared).toBe(true);
  });

  test("sessions go from the runtime to the package and back", async () => {
    const session = model.createSession();
    await session.complete([3, 1, 4, 1, 5], { maxTokens: 30, seed: 3, ignoreEos: true });
    expect(answer.moved.before).toEqual(session.tokens);
    session.rewind(session.position - 2);
    await session.complete([5, 6], { maxTokens: 9, temperature: 0, ignoreEos: true });
    session.rewind(session.position - 4);
    const { tokens: found } = await session.complete([], { maxTokens: 6, temperature: 0.9, seed: 8, ignoreEos: true });
    expect(answer.moved.tokens).toEqual(found);
    expect(answer.moved.all).toEqual(session.tokens);
    const back = model.restore(new Uint8Array(Buffer.from(answer.moved.saved, "base64")));
    expect(back.tokens).toEqual(session.tokens);
    const next = { maxTokens: 8, temperature: 0.5, seed: 1 };
    expect((await back.complete([9], next)).tokens).toEqual((await session.complete([9], next)).tokens);
    back.release();
    session.release();
  });

  test("logits have the runtime's bits", async () => {
    const bytes = Uint8Array.from(Buffer.from(answer.logits, "base64"));
    const rows = tokens.map((_, i) => new Float32Array(bytes.buffer, i * shape.vocabSize * 4, shape.vocabSize));
    const session = model.createSession();
    const expected: Float32Array[] = [];
    for await (const logits of session.logits(tokens)) expected.push(logits);
    session.release();
    expect(firstDifference(rows, expected)).toBeNull();
  });

  test("refuses what the runtime refuses, and stays usable", () => {
    const settings = Object.fromEntries(wrong.map(([name]) => [name, "run/input"]));
    expect(answer.refusals).toEqual({
      ...settings,
      empty: "run/input",
      token: "run/input",
      float: "TypeError",
      context: "run/context",
      released: "run/disposed",
      position: "run/input",
      damaged: "artefact/invalid",
      batch: "run/input",
      "few seeds": "run/input",
      "one text": "run/input",
      threads: "run/variant",
      variant: "run/variant",
      weights: "artefact/mismatch",
      "no weights": "io/missing",
      "no library": "io/missing",
      exhausted: "run/sessions",
      busy: ["run/busy", "run/busy", "run/busy", null],
      child: "run/disposed",
      "child of busy": "run/disposed",
      "left early": ["run/disposed", null, 4],
      copy: ["TypeError", "TypeError", "TypeError", "TypeError"],
      "no logits": "run/input",
      "given back": true,
      usable: null,
    });
  });

  test("decodes as the runtime does: ids, bytes that are no characters, strings that end a text", () => {
    expect(answer.decoded).toBe(model.tokenizer?.decode(tokens));
    for (const [i, { pieces, stops }] of streams.entries()) {
      const stream = new TextStream((piece) => Uint8Array.from(pieces[piece] ?? []));
      const text = [...pieces.map((_, piece) => stream.push(piece)), stream.flush()];
      const ends = new StopStrings(stops);
      const shown = text.map((piece) => ends.push(piece)).map(({ text: safe, stopped }) => [safe, stopped]);
      expect({ pieces, ends: stops, ...answer.streams[i] }).toEqual({ pieces, ends: stops, text, stops: shown, rest: ends.flush() });
    }
  });
});

test("names that Python has are not taken", () => {
  expect(["demo", "LFM2-350M", "350m", "json", "import", "Ray"].map(moduleName)).toEqual([
    "demo",
    "lfm2_350m",
    "model_350m",
    "model_json",
    "model_import",
    "model_ray",
  ]);
  const known = spawnSync("python3", ["-c", "import sys, keyword; print(*sys.stdlib_module_names, *keyword.kwlist)"], { encoding: "utf8" });
  const open = known.stdout
    .trim()
    .split(/\s+/)
    .filter((name) => /^[a-z]\w*$/.test(name) && name === name.toLowerCase());
  expect(open.filter((name) => moduleName(name) === name)).toEqual([]);
});
