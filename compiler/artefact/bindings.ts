/**
 * An artefact's TypeScript declarations, written from its manifest: the runtime's own types, narrowed to what was compiled. So a variant
 * that the artefact lacks is a type error, and an editor shows limits, shapes and bytes. The only file that knows ts-morph, which takes
 * a quarter of a second to import: it is loaded when an artefact is written, and by nothing else.
 */
import type {
  InterfaceDeclarationStructure,
  OptionalKind,
  PropertySignatureStructure,
  SourceFile,
  TypeAliasDeclarationStructure,
} from "ts-morph";
import {
  type Limits,
  type Manifest,
  type MemoryMap,
  type ModelFacts,
  type Quantization,
  type SamplingDefaults,
  type SpecialTokens,
  isEmbedded,
} from "../../runtime/manifest.ts";

type Literal = string | number | null | readonly Literal[];

/** A property's type as text, and what its doc comment says. */
type Fact = readonly [type: string, doc: string];

/** The declaration files of an artefact; `./types/` beside them holds those of the runtime. */
export async function bindingFiles(manifest: Manifest): Promise<readonly { readonly path: string; readonly text: string }[]> {
  const { IndentationText, Project } = await import("ts-morph");
  const project = new Project({
    useInMemoryFileSystem: true,
    skipLoadingLibFiles: true,
    manipulationSettings: { indentationText: IndentationText.TwoSpaces },
  });
  const text = (path: string, write: (file: SourceFile) => void): { path: string; text: string } => {
    const file = project.createSourceFile(path);
    write(file);
    return { path, text: file.getFullText() };
  };
  const index = text("index.d.ts", (file) => {
    writeIndex(file, manifest);
  });
  const parts = Object.entries(partDocs).map(([part, doc]) =>
    text(`${part}.d.ts`, (file) => {
      file.addStatements(`/** ${doc} */`);
      file.addExportDeclaration({ moduleSpecifier: `./types/${part}/index.js` });
    }),
  );
  if (!isModule(manifest)) return [index, ...parts];
  const worker = text("worker.d.ts", (file) => {
    writeWorker(file, manifest);
  });
  return [index, ...parts, worker];
}

/** What stands beside the core in every artefact. */
const partDocs = {
  chat: "Conversations by a chat template, and calls of tools in their answers.",
  "json-schema": "Output that fits a JSON schema or a pattern, as the option `constrain` of `generate`.",
};

/** Whether the artefact's code is WebAssembly: a library has no entry for workers, and takes no module from the caller. */
function isModule({ target }: Manifest): boolean {
  return target === "wasm-simd";
}

function writeIndex(file: SourceFile, manifest: Manifest): void {
  const { model, limits, memory, variants } = manifest;
  file.addStatements(
    `/**\n * ${manifest.name}: an ${model.type} model of ${grouped(model.parameters)} parameters, compiled by lfmc ${manifest.lfmc}. ` +
      "What is declared here is the\n * runtime's type of that name, narrowed to this artefact; the rest is exported as it is.\n */",
  );
  file.addImportDeclaration({ isTypeOnly: true, namespaceImport: "runtime", moduleSpecifier: "./types/index.js" });
  file.addExportDeclaration({ moduleSpecifier: "./types/index.js" });
  file.addTypeAliases([
    exportedType("VariantName", variantNames(variants).map(literal).join(" | "), "The variants of this artefact's code."),
    exportedType("Context", literal(limits.context), "Positions, a token each, that a session can hold."),
    exportedType("VocabSize", literal(model.vocabSize), vocabulary(model)),
  ]);
  file.addInterfaces([...manifestTypes(manifest), loadOptions(manifest), modelType(manifest)]);
  declareLoad(file, manifest, {
    doc:
      `Loads the model from the files beside this one${isModule(manifest) ? "" : ", its library built before"}; every option has a default. ` +
      `It takes ${bytes(memory.bytes)} of memory${isModule(manifest) ? "" : " beside the weights"}.`,
    options: "LoadOptions",
    isOptional: true,
  });
}

function exportedType(name: string, type: string, doc: string): OptionalKind<TypeAliasDeclarationStructure> {
  return { name, isExported: true, type, docs: [doc] };
}

/** Each once: threaded variants have the names of the others. */
function variantNames(variants: Manifest["variants"]): readonly string[] {
  return [...new Set(variants.map(({ name }) => name))];
}

function vocabulary({ vocabSize }: ModelFacts): string {
  return `Token ids are 0 to ${vocabSize - 1}; logits are vectors of ${vocabSize} f32.`;
}

/** The worker's entry imports the modules of one thread, and cannot know where the host keeps the weights. */
function writeWorker(file: SourceFile, manifest: Manifest): void {
  file.addStatements("/** For edge workers: modules, manifest and tokenizer are imported. */");
  file.addImportDeclaration({ isTypeOnly: true, namedImports: ["LoadOptions", "Model"], moduleSpecifier: "./index.js" });
  file.addExportDeclaration({ moduleSpecifier: "./index.js" });
  const holdsWeights = isEmbedded(manifest);
  file.addInterface({
    name: "WorkerLoadOptions",
    isExported: true,
    extends: ["LoadOptions"],
    docs: ["What `load` of an edge worker can be told, or must be."],
    properties: holdsWeights
      ? []
      : [
          {
            name: "weights",
            isReadonly: true,
            type: 'NonNullable<LoadOptions["weights"]>',
            docs: [
              "The weights: the address of their folder, all of them as one run of bytes, or a function that gives one shard:\n" +
                '`(index, { path }) => env.ASSETS.fetch("https://assets/" + path)`.',
            ],
          },
        ],
  });
  declareLoad(file, manifest, {
    doc: `Loads the model in one thread${holdsWeights ? "; the modules hold the weights" : ", with weights from where the host keeps them"}.`,
    options: "WorkerLoadOptions",
    isOptional: holdsWeights,
  });
}

/** What an editor shows of `load`, and the type of its options. */
interface LoadFacts {
  readonly doc: string;
  readonly options: string;
  readonly isOptional: boolean;
}

/** `load`; and where the artefact has a tokenizer, an overload that is told to go without. */
function declareLoad(file: SourceFile, { files }: Manifest, { doc, options, isOptional }: LoadFacts): void {
  const load = { name: "load", isExported: true, hasDeclareKeyword: true };
  const parameter = { name: "options", type: options, hasQuestionToken: isOptional };
  file.addFunction({ ...load, docs: [`${doc}\n\n${loadErrors}`], parameters: [parameter], returnType: "Promise<Model>" });
  if (files.tokenizer === null) return;
  file.addFunction({
    ...load,
    docs: [`Loads the model without its tokenizer: prompts are token ids, and generated text is empty.\n\n${loadErrors}`],
    parameters: [{ name: "options", type: `Omit<${options}, "tokenizer"> & { readonly tokenizer: null }` }],
    returnType: 'Promise<Omit<Model, "tokenizer"> & { readonly tokenizer: null }>',
  });
}

const loadErrors =
  "Rejects with an `LfmcError`, whose `code` is `io/…` for what cannot be read, `artefact/…` for what was altered or is cut short,\n" +
  "`run/variant` or `run/memory` for what the host lacks, `run/aborted`.";

/** `manifest.json` with the values that a program may want to rely on as literals. */
function manifestTypes(manifest: Manifest): readonly OptionalKind<InterfaceDeclarationStructure>[] {
  const { name, target, model, limits, memory, quantization, sampling, tokens } = manifest;
  return [
    narrowed<Manifest>("Manifest", "What `manifest.json` says of this artefact.", {
      name: [literal(name), "Its name."],
      target: [literal(target), "What it was compiled for."],
      model: ["ModelFacts", "The model's shape."],
      limits: ["Limits", "What fits into a session and into one call."],
      memory: ["MemoryMap", `Where everything lies in ${bytes(memory.bytes)} of memory.`],
      variants: ["readonly Variant[]", "Its code, by instruction set."],
      quantization: ["Quantization", "How numbers are stored."],
      sampling: ["SamplingDefaults", "What a call of `generate` that leaves a setting out falls back to."],
      tokens: ["SpecialTokens", "Ids with a meaning of their own."],
    }),
    narrowed<ModelFacts>("ModelFacts", "The model's shape.", {
      type: [literal(model.type), "Its architecture."],
      vocabSize: ["VocabSize", vocabulary(model)],
      hiddenSize: [literal(model.hiddenSize), "Channels of a position between two layers."],
      layers: [literal(model.layers), "Layers, short convolutions and attention together."],
      parameters: [literal(model.parameters), "Parameters, before quantisation."],
    }),
    narrowed<Limits>("Limits", "What fits into a session and into one call.", {
      context: ["Context", "Positions, a token each, that a session can hold."],
      prefillChunk: [literal(limits.prefillChunk), "Most rows, a token each, in one forward call."],
      logitRows: [literal(limits.logitRows), "Most rows that may want logits in one forward call."],
      sessions: [literal(limits.sessions), `Sessions that can live at once, ${bytes(memory.state.slotBytes)} each.`],
      rewind: [literal(limits.rewind), "Positions by which a session can be rewound at no cost."],
    }),
    narrowed<MemoryMap>("MemoryMap", "The memory of the model, fixed when it was compiled.", memoryFacts(manifest)),
    narrowed<Manifest["variants"][number]>("Variant", "Code of this artefact for one instruction set.", {
      name: ["VariantName", "Its name, for the option `variant`."],
    }),
    narrowed<Quantization>("Quantization", "How numbers are stored.", {
      weights: [literal(quantization.weights), "Of the matrices."],
      activations: [literal(quantization.activations), "Of what the quantised matrices are multiplied with."],
      kv: [literal(quantization.kv), "Of the key and value cache."],
    }),
    narrowed<SamplingDefaults>("SamplingDefaults", "What a call of `generate` that leaves a setting out falls back to.", {
      temperature: [literal(sampling.temperature), "0 takes always the likeliest token."],
      topK: [literal(sampling.topK), "0 is off."],
      topP: [literal(sampling.topP), "1 is off."],
      minP: [literal(sampling.minP), "0 is off."],
      repetitionPenalty: [literal(sampling.repetitionPenalty), "1 is off."],
    }),
    narrowed<SpecialTokens>("SpecialTokens", "Ids with a meaning of their own.", {
      bos: [literal(tokens.bos), "Goes before a text at position 0."],
      eos: [literal(tokens.eos), "End a generation."],
      pad: [literal(tokens.pad), "Fills batches in training."],
    }),
  ];
}

function memoryFacts(manifest: Manifest): Readonly<Partial<Record<keyof MemoryMap, Fact>>> {
  const { memory, limits, model } = manifest;
  const region = (key: "weights" | "state" | "rows" | "logits" | "choices" | "scratch", more = ""): string =>
    `runtime.MemoryMap[${literal(key)}] & { readonly bytes: ${memory[key].bytes}${more} }`;
  const { weights, state, rows, logits, choices, scratch } = memory;
  return {
    ...(isModule(manifest)
      ? {
          bytes: [literal(memory.bytes), `${bytes(memory.bytes)}: initial size and maximum.`],
          pages: [literal(memory.pages), "The same in pages of 64 KiB."],
        }
      : {
          bytes: [literal(memory.bytes), `${bytes(memory.bytes)}; the weights are mapped beside it.`],
          threadBytes: [literal(memory.threadBytes), "Scratch of each thread, beside it."],
        }),
    weights: [region("weights"), `Packed weights: ${bytes(weights.bytes)}.`],
    state: [region("state", `; readonly slotBytes: ${state.slotBytes}`), `${limits.sessions} session slots of ${bytes(state.slotBytes)}.`],
    rows: [region("rows"), `[${limits.prefillChunk}, 4] i32: token, slot, position, wantsLogits. ${bytes(rows.bytes)}.`],
    logits: [
      region("logits", `; readonly strideBytes: ${logits.strideBytes}`),
      `[${limits.logitRows}, ${model.vocabSize}] f32, rows ${bytes(logits.strideBytes)} apart. ${bytes(logits.bytes)}.`,
    ],
    choices: [region("choices"), `[${limits.logitRows}] i32: the likeliest token by each row of logits. ${bytes(choices.bytes)}.`],
    scratch: [region("scratch"), `What a call needs on the way: ${bytes(scratch.bytes)}.`],
  };
}

function loadOptions(manifest: Manifest): OptionalKind<InterfaceDeclarationStructure> {
  const { variants, files } = manifest;
  const threadCounts = variants.some(({ threads }) => threads) ? "number" : "1";
  const host = isModule(manifest) ? "the engine's features" : "what the processor has";
  const declaration = narrowed<{ variant: unknown; threads: unknown; module: unknown; tokenizer: unknown }>(
    "LoadOptions",
    "What `load` can be told.",
    {
      variant: ["VariantName | undefined", `The code to run; by default that which uses most of ${host}.`],
      threads: [
        `${threadCounts} | undefined`,
        `Threads that share the work, 1 by default${isModule(manifest) ? "; always 1 where the host does not share memory" : ""}.`,
      ],
      ...(isModule(manifest)
        ? {
            module: [
              "runtime.ModuleInput | ((variant: Variant) => runtime.ModuleInput | Promise<runtime.ModuleInput>) | undefined",
              "A module of the artefact, which is run; or a function that gives that of the variant which suits the engine best.",
            ],
          }
        : {}),
      ...(files.tokenizer === null
        ? {}
        : {
            tokenizer: [
              'NonNullable<runtime.LoadOptions["tokenizer"]> | undefined',
              "Parsed tokenizer.json and tokenizer_config.json, in place of the artefact's.",
            ],
          }),
    },
    { hasQuestionToken: true },
  );
  return { ...declaration, extends: [`Omit<runtime.LoadOptions, ${isModule(manifest) ? '"library" | "module"' : '"module"'}>`] };
}

function modelType({ model, limits, memory, files }: Manifest): OptionalKind<InterfaceDeclarationStructure> {
  const facts: Readonly<Record<string, Fact>> = {
    manifest: ["Manifest", "What this artefact is."],
    variant: ["Variant", "The code that runs."],
    ...(files.tokenizer === null ? {} : { tokenizer: ["runtime.Tokenizer", "Text to token ids and back."] }),
  };
  return {
    ...narrowed<Record<string, unknown>>("Model", `The loaded model, in ${bytes(memory.bytes)} of memory.`, facts),
    methods: [
      {
        name: "createSession",
        returnType: "runtime.Session",
        docs: [
          `A session of up to ${limits.context} tokens in a free slot, of ${limits.sessions}; throws \`run/sessions\` where all are taken.`,
        ],
      },
      {
        name: "forward",
        parameters: [{ name: "rows", type: "readonly runtime.Row[]" }],
        returnType: "readonly Float32Array[]",
        docs: [
          `The raw call: evaluates up to ${limits.prefillChunk} rows and returns ${model.vocabSize} f32 logits for each of the up to ` +
            `${limits.logitRows} rows that\nwant them, as views that are valid until the next call. It writes to the slots it names: keep them apart from those of live sessions.`,
        ],
      },
    ],
  };
}

/** An interface that narrows the runtime's of the same name; `Base` keeps its properties to those that exist there. */
function narrowed<Base>(
  name: string,
  doc: string,
  facts: Readonly<Partial<Record<keyof Base & string, Fact>>>,
  more: Partial<PropertySignatureStructure> = {},
): OptionalKind<InterfaceDeclarationStructure> {
  const properties = Object.entries<Fact | undefined>(facts).flatMap(([property, fact]) =>
    fact ? [{ name: property, isReadonly: true, type: fact[0], docs: [fact[1]], ...more }] : [],
  );
  return { name, isExported: true, extends: [`runtime.${name}`], docs: [doc], properties };
}

/** The type that holds one value alone. */
function literal(value: Literal): string {
  return isList(value) ? `readonly [${value.map(literal).join(", ")}]` : JSON.stringify(value);
}

function isList(value: Literal): value is readonly Literal[] {
  return Array.isArray(value);
}

function grouped(count: number): string {
  return count.toLocaleString("en-US");
}

function bytes(count: number): string {
  return `${grouped(count)} bytes`;
}
