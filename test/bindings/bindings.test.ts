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
import { createProject, libraries, quickInfo, resolutions, typeFaults } from "./typecheck.ts";

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
import { LfmcError, load, type Context, type GenerateOptions, type Model, type VariantName, type VocabSize } from "tiny";

const variant: VariantName = "simd128";
const model: Model = await load({ variant, threads: 1, verify: true, signal: AbortSignal.timeout(1000), onProgress: ({ phase }) => phase });
const context: ${limits.context} = model.manifest.limits.context satisfies Context;
const chunk: ${limits.prefillChunk} = model.manifest.limits.prefillChunk;
const sessions: ${limits.sessions} = model.manifest.limits.sessions;
const vocabulary: ${model.vocabSize} = model.manifest.model.vocabSize satisfies VocabSize;
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

const modules = { simd128: new Response(), relaxed: Promise.resolve(new ArrayBuffer(8)) };
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
  await loadInWorker({ weights: (async function* () { yield new Uint8Array(1); })(), module: ({ name }) => modules[name] }),
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
  [
    "a variant that a function of modules does not know",
    'import { load } from "demo"; await load({ module: ({ name }) => ({ simd128: new Response() })[name] });',
    /TS2339.*'relaxed'/,
  ],
  ["a worker's weights left open", 'import { load } from "demo/worker"; await load({ weights: undefined });', /TS2769.*undefined/],
  ["a worker without options", 'import { load } from "demo/worker"; await load();', /TS2554|TS2769/],
];

describe.each(Object.keys(resolutions) as (keyof typeof resolutions)[])("moduleResolution %s", async (resolution) => {
  const files = Object.fromEntries(wrong.map(([, text], i) => [`wrong-${i}.ts`, text]));
  const faults = await typeFaults(
    project,
    { "consumer.ts": consumer, "text.ts": textConsumer, "native.ts": nativeConsumer, ...files },
    resolutions[resolution],
  );

  test("strict programs type check against the artefacts, and so do the artefacts' own declarations", () => {
    expect(["consumer.ts", "text.ts", "native.ts", ""].map((file) => faults.get(file))).toEqual(Array.from({ length: 4 }, () => undefined));
  });

  test.each(wrong.map(([title, , fault], i) => [title, `wrong-${i}.ts`, fault] as const))("%s is a type error", (_, file, fault) => {
    expect(faults.get(file)).toEqual([expect.stringMatching(fault)]);
  });
});

/** A program that names nothing of its host. */
const plainConsumer = `
import { load, type WeightsInput } from "demo";
import { chat } from "demo/chat";
import { jsonSchema } from "demo/json-schema";
import { load as loadInWorker } from "demo/worker";
declare const weights: WeightsInput;
const model = await load();
export const { text } = await model.createSession().complete("", { constrain: jsonSchema(model, {}) });
export const parts = chat(await loadInWorker({ weights }), model.createSession(), []);
`;

type Programs = Readonly<Record<string, string>>;

test.each<readonly [host: string, options: ts.CompilerOptions, programs: Programs]>([
  ["Node's types", { ...resolutions.nodenext, ...libraries.node }, { "text.ts": textConsumer, "native.ts": nativeConsumer }],
  ["no host's types", { ...resolutions.nodenext, ...libraries.none }, { "plain.ts": plainConsumer }],
  ["the entry of workerd", { ...resolutions.bundler, customConditions: ["workerd", "worker"] }, { "text.ts": textConsumer }],
  ["the entry of Vercel's edge", { ...resolutions.bundler, customConditions: ["edge-light"] }, { "text.ts": textConsumer }],
])("programs with %s type check", async (_, options, programs) => {
  expect([...(await typeFaults(project, programs, options))]).toEqual([]);
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
await load({ threads: 2, signal: AbortSignal.abort() });
type Positions = import("demo").Context;
`;
  const shown = quickInfo(file, text);
  const { context, logitRows } = demoManifest.limits;
  const { vocabSize } = demoManifest.model;
  expect(shown("load")).toMatch(/load\(options\?: LoadOptions\): Promise<Model>.*every option has a default/s);
  expect(shown("threads")).toMatch(/threads\?: number.*Threads that share the work/s);
  expect(shown("signal")).toMatch(/signal\?: AbortSignal.*Ends the load/s);
  expect(shown("Context")).toMatch(new RegExp(`type Context = ${context}\\b.*Positions, a token each`, "s"));
  expect(shown("context")).toMatch(new RegExp(`: ${context}\\b.*Positions, a token each`, "s"));
  expect(shown("vocabSize")).toMatch(new RegExp(`: ${vocabSize}\\b.*vectors of ${vocabSize} f32`, "s"));
  expect(shown("createSession")).toMatch(new RegExp(`up to ${context} tokens`));
  expect(shown("forward")).toMatch(new RegExp(`${vocabSize} f32 logits for each of the up to ${logitRows} rows`));
  expect(shown("generate")).toMatch(/AsyncGenerator<Part.*\w+ \w+/s);
  expect(shown("logits")).toMatch(new RegExp(`\\[${logitRows}, ${vocabSize}\\] f32`));
});

test.each(["index", "chat", "json-schema", "worker"])("everything that %s.d.ts declares is described, and every property", (name) => {
  const path = join(demo.folder, `${name}.d.ts`);
  const program = ts.createProgram([path], resolutions.nodenext);
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(path);
  const module = source && checker.getSymbolAtLocation(source);
  const declared = (module ? checker.getExportsOfModule(module) : []).map((symbol) =>
    symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol,
  );
  const isBare = (symbol: ts.Symbol): boolean => symbol.getDocumentationComment(checker).length === 0;
  const properties = declared
    .filter(({ flags }) => flags & ts.SymbolFlags.Interface)
    .flatMap((symbol) => checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol)).map((property) => ({ symbol, property })));
  expect(declared.length).toBeGreaterThan(0);
  expect(properties.length).toBeGreaterThan(0);
  expect(declared.filter(isBare).map((symbol) => symbol.name)).toEqual([]);
  expect(properties.filter(({ property }) => isBare(property)).map(({ symbol, property }) => `${symbol.name}.${property.name}`)).toEqual(
    [],
  );
});

test("doc comments tell shapes and bytes", async () => {
  const text = await readFile(join(tiny.folder, "index.d.ts"), "utf8");
  expect(text).toContain(`/** [${limits.prefillChunk}, 4] i32: token, slot, position, wantsLogits. `);
  expect(text).toContain(`logits are vectors of ${model.vocabSize} f32`);
  expect(text).toContain(`Packed weights: ${memory.weights.bytes.toLocaleString("en-US")} bytes`);
  expect(text).toContain(`${limits.sessions} session slots of ${memory.state.slotBytes.toLocaleString("en-US")} bytes`);
});
