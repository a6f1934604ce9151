/**
 * The declarations of an artefact in the hands of strict TypeScript programs: what the artefact has type checks, with its limits as
 * literals; what it lacks does not.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { caseFolder } from "../golden/read.ts";
import { compile } from "../../compiler/index.ts";
import { compileTo, demoFolder, workFolder } from "../model/support.ts";
import ts from "typescript";
import { createProject, quickInfo, resolutions, typeFaults } from "./typecheck.ts";

const folder = await workFolder();
const tiny = await compileTo(join(folder, "tiny"), { model: caseFolder("dense-tiny"), sessions: 2, context: 96, features: ["simd128"] });
const demo = await compileTo(join(folder, "demo"), { model: demoFolder });
const native = join(folder, "native");
await compile({ model: caseFolder("dense-tiny"), target: "c", name: "native", output: native });
const project = join(folder, "project");
await createProject(project, { tiny: tiny.folder, demo: demo.folder, native });
const manifest = tiny.artefact?.manifest;
if (!manifest) throw new Error("nothing was written");
const { limits, memory, model } = manifest;
const demoManifest = demo.artefact?.manifest ?? manifest;

const consumer = `
import { LfmcError, load, type GenerateOptions, type Model, type VariantName } from "tiny";

const variant: VariantName = "simd128";
const model: Model = await load({ variant, threads: 1, verify: true, signal: AbortSignal.timeout(1000), onProgress: ({ phase }) => phase });
const context: ${limits.context} = model.manifest.limits.context;
const chunk: ${limits.prefillChunk} = model.manifest.limits.prefillChunk;
const sessions: ${limits.sessions} = model.manifest.limits.sessions;
const vocabulary: ${model.vocabSize} = model.manifest.model.vocabSize;
const bytes: ${memory.bytes} = model.manifest.memory.bytes;
const slot: ${memory.state.slotBytes} = model.manifest.memory.state.slotBytes;
const name: "simd128" = model.variant.name;
const options: GenerateOptions = { maxTokens: context - chunk, temperature: model.manifest.sampling.temperature };
const session = model.createSession();
for await (const { token, text } of session.generate([1, 2], options)) if (token >= vocabulary || text !== "") throw new LfmcError("run/input", name, { subject: "text", hint: "compile it with a tokenizer" });
const [row]: readonly (Float32Array | undefined)[] = model.forward([{ token: 1, slot: sessions - 1, position: 0, wantsLogits: true }]);
export const total: number = bytes + slot + (row?.length ?? 0) + (model.tokenizer?.encode("") ?? []).length;
const bare = await load();
await bare.dispose();
`;

const textConsumer = `
import { load, type BytesInput, type WeightPart } from "demo";
import { chat, createChatTemplate, templateOf, type ChatMessage } from "demo/chat";
import { jsonSchema, regex } from "demo/json-schema";
import { load as loadInWorker } from "demo/worker";

const model = await load();
export const ids: readonly number[] = model.tokenizer.encode("text");
const plain = await load({ tokenizer: null });
export const none: null = plain.tokenizer;
const inWorker = await loadInWorker({ weights: new ReadableStream<Uint8Array>(), tokenizer: { json: {} } });
export const text: string = inWorker.tokenizer.decode([1]);
const inWorkers = [
  await loadInWorker({ weights: (index: number, { path, bytes }: WeightPart) => fetch(path + index + bytes) }),
  await loadInWorker({ weights: async () => new Blob([]), module: ({ name }) => new URL(name, "https://host/") }),
  await loadInWorker({ weights: new URL("https://host/"), module: new Uint8Array(8), cache: false }),
];
const given: BytesInput[] = [new Uint8Array(1), new ArrayBuffer(1), new Blob([]), new Response(), new ReadableStream<Uint8Array>()];
for (const weights of given) inWorkers.push(await load({ weights, cache: "opfs" }));
const [first] = inWorkers;
const messages: ChatMessage[] = [{ role: "user", content: "Hello" }];
const template = first && (templateOf(first) ?? createChatTemplate("{{ messages }}"));
if (first && template)
  for await (const { text: piece, toolCall } of chat(first, first.createSession(), messages, { template, constrain: regex(first, "[a-z]+") }))
    if (piece === undefined && toolCall?.name === "") throw new Error();
export const constraint = first && jsonSchema(first, { type: "object" });
`;

const nativeConsumer = `
import { load, type VariantName } from "native";

const variant: VariantName = "scalar";
const model = await load({ variant, threads: 2, library: new URL("file:///tmp/library.so"), weights: new URL("file:///tmp/") });
const name: "scalar" = model.variant.name;
const target: "c" = model.manifest.target;
const pages: number = model.manifest.memory.pages;
export const facts = [name, target, pages];
await model.dispose();
`;

/** Programs at fault, each with what the compiler must say. */
const wrong: readonly (readonly [title: string, text: string, fault: RegExp])[] = [
  ["a variant that is not there", 'import { load } from "tiny"; await load({ variant: "avx2" });', /TS2322.*"avx2"/],
  ["threads without a threaded module", 'import { load } from "tiny"; await load({ threads: 2 });', /TS2322.*'2'/],
  ["an option that is not there", 'import { load } from "tiny"; await load({ quant: "q4_0" });', /TS2353.*quant/],
  ["another context", 'import { load } from "tiny"; export const n: 97 = (await load()).manifest.limits.context;', /TS2322.*'96'/],
  [
    "a generation option that is not there",
    'import { load } from "tiny"; (await load()).createSession().generate("", { max: 1 });',
    /TS2353/,
  ],
  ["a tokenizer that may be missing", 'import { load } from "tiny"; (await load()).tokenizer.encode("");', /TS2531/],
  [
    "a tokenizer that was declined",
    'import { load } from "demo"; (await load({ tokenizer: null })).tokenizer.encode("");',
    /TS2531|TS2339/,
  ],
  ["a module for a library", 'import { load } from "native"; await load({ module: new URL("file:///m.wasm") });', /TS2353.*module/],
  ["a library for a module", 'import { load } from "tiny"; await load({ library: new URL("file:///m.so") });', /TS2353.*library/],
  ["a library's worker", 'import { load } from "native/worker"; await load({});', /TS2307/],
  ["a worker without options", 'import { load } from "demo/worker"; await load();', /TS2554|TS2769/],
];

describe.each(Object.keys(resolutions) as (keyof typeof resolutions)[])("moduleResolution %s", async (resolution) => {
  const programs = Object.fromEntries(wrong.map(([, text], i) => [`wrong-${i}.ts`, text]));
  const faults = await typeFaults(
    project,
    { "consumer.ts": consumer, "text.ts": textConsumer, "native.ts": nativeConsumer, ...programs },
    resolution,
  );

  test("strict programs type check against the artefacts, and so do the artefacts' own declarations", () => {
    expect(["consumer.ts", "text.ts", "native.ts", ""].map((file) => faults.get(file))).toEqual(Array.from({ length: 4 }, () => undefined));
  });

  test.each(wrong.map(([title, , fault], i) => [title, `wrong-${i}.ts`, fault] as const))("%s is a type error", (_, file, fault) => {
    expect(faults.get(file)).toEqual([expect.stringMatching(fault)]);
  });
});

test("an editor shows what was compiled, in words and as literal types", () => {
  const file = join(project, "hover.ts");
  const text = `import { load } from "demo";
const model = await load();
model.manifest.limits.context;
model.manifest.model.vocabSize;
model.createSession();
model.forward([]);
model.createSession().generate("");
model.manifest.memory.logits;
`;
  const shown = quickInfo(file, text);
  const { context, logitRows } = demoManifest.limits;
  const { vocabSize } = demoManifest.model;
  expect(shown("load")).toMatch(/Promise<Model>.*every option has a default/s);
  expect(shown("context")).toMatch(new RegExp(`: ${context}\\b.*Positions, a token each`, "s"));
  expect(shown("vocabSize")).toMatch(new RegExp(`: ${vocabSize}\\b.*vectors of ${vocabSize} f32`, "s"));
  expect(shown("createSession")).toMatch(new RegExp(`up to ${context} tokens`));
  expect(shown("forward")).toMatch(new RegExp(`${vocabSize} f32 logits for each of the up to ${logitRows} rows`));
  expect(shown("generate")).toMatch(/AsyncGenerator<Part.*\w+ \w+/s);
  expect(shown("logits")).toMatch(new RegExp(`\\[${logitRows}, ${vocabSize}\\] f32`));
});

test.each(["index", "chat", "json-schema", "worker"])("everything that %s.d.ts declares is described", (name) => {
  const path = join(demo.folder, `${name}.d.ts`);
  const program = ts.createProgram([path], resolutions.nodenext);
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(path);
  const module = source && checker.getSymbolAtLocation(source);
  const declared = module ? checker.getExportsOfModule(module) : [];
  const bare = declared
    .map((symbol) => (symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol))
    .filter((symbol) => symbol.getDocumentationComment(checker).length === 0)
    .map((symbol) => symbol.name);
  expect(declared.length).toBeGreaterThan(0);
  expect(bare).toEqual([]);
});

test("doc comments tell shapes and bytes", async () => {
  const text = await readFile(join(tiny.folder, "index.d.ts"), "utf8");
  expect(text).toContain(`/** [${limits.prefillChunk}, 4] i32: token, slot, position, wantsLogits. `);
  expect(text).toContain(`logits are vectors of ${model.vocabSize} f32`);
  expect(text).toContain(`Packed weights: ${memory.weights.bytes.toLocaleString("en-US")} bytes`);
  expect(text).toContain(`${limits.sessions} session slots of ${memory.state.slotBytes.toLocaleString("en-US")} bytes`);
});
