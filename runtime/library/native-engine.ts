/**
 * A C artefact's library as an engine. The arena is an ArrayBuffer, so that rows, logits and sessions are read and written in place, as in a
 * WebAssembly memory; the library maps the weights itself. Whatever it reports by a status becomes an error with the library's own words.
 */
import type { Engine } from "../engine.ts";
import { type ErrorCode, LfmcError } from "../errors.ts";
import { type ForeignFunction, type ForeignInterface, type Signature, hostForeignInterface } from "./foreign.ts";
import type { Manifest } from "../manifest.ts";

export interface NativeEngineParts {
  readonly manifest: Manifest;
  /** Paths of the built library and of the weights. */
  readonly library: string;
  readonly weights: string;
  /** null for the best that the processor runs. */
  readonly variant: string | null;
  readonly threads: number;
  /** Where the package koffi may be installed, as file: URLs. */
  readonly places: readonly string[];
}

export interface NativeEngine extends Engine {
  /** Name of the variant that runs. */
  readonly variant: string;
}

const signatures = {
  status_text: { takes: ["i32"], gives: "size" },
  arena_bytes: { takes: ["i32"], gives: "size" },
  memory_offset: { takes: [], gives: "size" },
  create: { takes: ["size", "size", "size", "size", "i32", "size"], gives: "i32" },
  destroy: { takes: ["size"], gives: "void" },
  variant: { takes: ["size"], gives: "size" },
  run: { takes: ["size", "i32", "i32"], gives: "i32" },
} as const satisfies Readonly<Record<string, Signature>>;

type Library = Readonly<Record<keyof typeof signatures, ForeignFunction>>;

/** What is at fault by a status of the library, which says itself how; other statuses are faults of the call. */
const statusCodes: Readonly<Record<number, ErrorCode>> = {
  1: "run/memory",
  2: "io/missing",
  3: "artefact/mismatch",
  4: "artefact/mismatch",
  5: "run/variant",
  6: "run/variant",
  7: "run/variant",
};

const hints: Readonly<Partial<Record<ErrorCode, string>>> = {
  "io/missing": "The artefact's folder must be kept whole.",
  "artefact/mismatch": "Library and weights must be of one compile: copy or compile the artefact again.",
  "run/variant": "Leave variant and threads to the runtime, and build without options that change floating-point arithmetic.",
};

/** The arena's start, for the library; it lays the model itself there. */
const arenaAlignment = 64;

/** Ends the threads of engines that nobody closed before the arena goes that they work in. Made when needed: not every host of modules has such a thing. */
let forgotten: FinalizationRegistry<Residence> | null = null;

function forgottenEngines(): FinalizationRegistry<Residence> {
  return (forgotten ??= new FinalizationRegistry(({ library, model }) => {
    library.destroy(model);
  }));
}

/** A model in its arena; made apart from the engine, which it must not hold. */
interface Residence {
  readonly library: Library;
  readonly model: number;
  readonly arena: ArrayBuffer;
}

/** Throws `run/variant` without a foreign function interface, `io/missing` without the library, and what the library reports. */
export function openNativeEngine(parts: NativeEngineParts): NativeEngine {
  const { name } = parts.manifest;
  const foreign = hostForeignInterface(parts.places) ?? noForeignInterface(name);
  const library = openLibrary(foreign, parts);
  checkPlan(library, parts);
  const check = (status: number): void => {
    if (status !== 0) throw refused(name, status, foreign.textAt(library.status_text(status)));
  };
  const arena = allocate(library.arena_bytes(parts.threads), parts);
  const start = foreign.addressOf(arena);
  const model = create(foreign, library, { start, bytes: arena.byteLength }, parts, check);
  const engine: NativeEngine = {
    memory: { buffer: arena, byteOffset: roundUp(start, arenaAlignment) - start + library.memory_offset() },
    variant: foreign.textAt(library.variant(model)),
    forward(rowCount, logitCount) {
      check(library.run(model, rowCount, logitCount));
    },
    close() {
      forgottenEngines().unregister(engine);
      // A caller may have transferred logits' buffer, the arena, to someone who has let go of it.
      if (arena.byteLength > 0) library.destroy(model);
    },
  };
  forgottenEngines().register(engine, { library, model, arena }, engine);
  return engine;
}

/** The address of a new model at the start of the arena. */
function create(
  foreign: ForeignInterface,
  library: Library,
  arena: { readonly start: number; readonly bytes: number },
  { weights, variant, threads }: NativeEngineParts,
  check: (status: number) => void,
): number {
  // One buffer for all that is passed by address, read after the call: so it lives as long.
  const path = new TextEncoder().encode(`${weights}\0`);
  const wish = new TextEncoder().encode(`${variant ?? ""}\0`);
  const passed = new ArrayBuffer(8 + path.length + wish.length);
  const bytes = new Uint8Array(passed);
  bytes.set(path, 8);
  bytes.set(wish, 8 + path.length);
  const at = foreign.addressOf(passed);
  check(library.create(at, arena.start, arena.bytes, at + 8, threads, variant === null ? 0 : at + 8 + path.length));
  return Number(new DataView(passed).getBigUint64(0, true));
}

/** What the library's functions are called: `lfm_`, the artefact's name, the function. */
export function librarySymbol(name: string, symbol: string): string {
  return `lfm_${name.toLowerCase().replace(/[^a-z0-9]/g, "_")}_${symbol}`;
}

/** The library's file, from the artefact's folder on. */
export function libraryFile(name: string, platform: string | null): string {
  if (platform === "win32") return `build/${name}.dll`;
  return `build/lib${name}.${platform === "darwin" ? "dylib" : "so"}`;
}

function openLibrary(foreign: ForeignInterface, { manifest: { name }, library: path }: NativeEngineParts): Library {
  const symbolOf = (symbol: string): string => librarySymbol(name, symbol);
  try {
    return foreign.open(path, signatures, symbolOf);
  } catch (cause) {
    throw new LfmcError("io/missing", "is not a library that this host can load", {
      subject: path,
      hint: "Run `make` in the artefact's folder, or use `lfmc run`, which builds it. Deno also wants --allow-ffi.",
      cause,
    });
  }
}

/** The weights tell a library of another model, but one that was built before the same model was compiled anew has another plan. */
function checkPlan(library: Library, { manifest, library: path }: NativeEngineParts): void {
  const { bytes, threadBytes } = manifest.memory;
  const planned = roundUp(bytes, arenaAlignment) + roundUp(threadBytes, arenaAlignment);
  const found = library.arena_bytes(1) - library.memory_offset() - (arenaAlignment - 1);
  if (found === planned) return;
  throw new LfmcError("artefact/mismatch", `was built for a memory of ${found} bytes, the manifest's has ${planned}`, {
    subject: path,
    hint: "Build it again: run `make` in the artefact's folder.",
  });
}

function allocate(bytes: number, { manifest, threads }: NativeEngineParts): ArrayBuffer {
  if (bytes === 0) throw refused(manifest.name, 6, `${threads} is not a number of threads`);
  try {
    return new ArrayBuffer(bytes);
  } catch (cause) {
    throw new LfmcError("run/memory", `the host does not give ${bytes} bytes`, {
      subject: manifest.name,
      hint: "Compile with a smaller --context or fewer --sessions, or run it where there is more memory.",
      cause,
    });
  }
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

function noForeignInterface(name: string): never {
  throw new LfmcError("run/variant", "is a native library, and this host has no way to call one", {
    subject: name,
    hint: "In Node run `npm install koffi`; Deno and Bun need nothing; browsers and edge workers take --target wasm-simd.",
  });
}

function refused(name: string, status: number, text: string): LfmcError {
  const code = statusCodes[status] ?? "run/input";
  return new LfmcError(code, text, { subject: name, hint: hints[code] ?? "Compile the artefact again." });
}
