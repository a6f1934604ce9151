/** A WebAssembly module as an engine: one memory of the planned size, and an instance, or one for each thread. */
import type { Engine } from "./engine.ts";
import { LfmcError } from "./errors.ts";
import { hasFunctions } from "./host.ts";
import type { Manifest, Variant } from "./manifest.ts";
import { type Helpers, mayWait, startHelpers } from "./threads.ts";

const pageBytes = 65536;
const cacheLine = 64;

/**
 * The planned memory and each thread's scratch behind it, zeroed: as large at first as it can ever be. Throws `run/memory` where the host has not
 * got that much.
 */
export function createMemory({ name, memory }: Manifest, { features, threads: isThreaded }: Variant, threads: number): WebAssembly.Memory {
  const pages = memoryPages(memory, isThreaded, threads);
  try {
    return newMemory(pages, features);
  } catch (cause) {
    throw new LfmcError("run/memory", `the host does not give ${pages * pageBytes} bytes of WebAssembly memory`, {
      subject: name,
      hint: "Compile with a smaller --context or fewer --sessions, or run it where there is more memory.",
      cause,
    });
  }
}

/** Pages of the planned memory and, of a threaded module, of the scratch of `threads` threads behind it. */
export function memoryPages({ bytes, threadBytes }: Manifest["memory"], isThreaded: boolean, threads: number): number {
  const scratch = isThreaded ? threads * cacheLine * Math.ceil(threadBytes / cacheLine) : 0;
  return Math.ceil((bytes + scratch) / pageBytes);
}

/**
 * A memory of `pages` pages for modules that need `features`: with 64-bit addresses where memory64 is among them, shared where threads is.
 * Throws what the host throws.
 */
export function newMemory(pages: number, features: readonly string[]): WebAssembly.Memory {
  const shared = features.includes("threads");
  if (!features.includes("memory64")) return new WebAssembly.Memory({ initial: pages, maximum: pages, shared });
  // Such a memory's pages are counted in BigInt, of which lib.dom knows nothing.
  const memory: unknown = Reflect.construct(WebAssembly.Memory, [
    { address: "i64", initial: BigInt(pages), maximum: BigInt(pages), shared },
  ]);
  if (memory instanceof WebAssembly.Memory) return memory;
  throw new TypeError("WebAssembly.Memory made no memory");
}

/** Compiles a module; throws `run/variant` where the engine refuses it. */
export async function compileModule(subject: string, bytes: Uint8Array): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(unshared(bytes));
  } catch (cause) {
    throw new LfmcError("run/variant", "the engine does not compile this module", {
      subject,
      hint: "In a page, the policy must allow 'wasm-unsafe-eval'. Where code may not be generated, import the module statically and pass it as `module`.",
      cause,
    });
  }
}

/** The same bytes, copied only where threads might share them: a module may hold weights. */
function unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, length } = bytes;
  return buffer instanceof ArrayBuffer ? new Uint8Array(buffer, byteOffset, length) : new Uint8Array(bytes);
}

/** A module on its memory, and the threads that share it. */
export interface Residence {
  /** Of the artefact, for errors. */
  readonly subject: string;
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** Whether the module holds the weights. */
  readonly holdsWeights: boolean;
}

/** Instantiates a module of one thread; throws `artefact/mismatch` where it is not a module of this contract. */
export async function instantiate(place: Residence): Promise<Engine> {
  const { exports } = await instanceOf(place);
  if (!hasFunctions(exports, "forward")) throw refused(place, "exports no function `forward`");
  const { forward } = exports;
  return {
    memory: place.memory,
    forward(rowCount, logitCount) {
      try {
        forward(rowCount, logitCount);
      } catch (cause) {
        throw refused(place, "stops in the middle of a call", cause);
      }
    },
  };
}

/** Seconds without any progress after which a thread counts as lost. */
const usualPatience = 10;

/** A module that threads serve, and those threads; made apart from the engine, which it must not hold. */
interface Team {
  readonly stop: () => void;
  readonly helpers: Helpers;
}

/** Ends the threads of engines that nobody closed. Made when needed: not every host of modules has such a thing. */
let forgotten: FinalizationRegistry<Team> | null = null;

function forgottenEngines(): FinalizationRegistry<Team> {
  return (forgotten ??= new FinalizationRegistry(endTeam));
}

function endTeam({ stop, helpers }: Team): void {
  stop();
  helpers.end();
}

/**
 * Instantiates a threaded module and starts `threads` - 1 workers in it, from the script at `entry`. Throws `artefact/mismatch`, `run/thread`
 * where they do not start, and `run/aborted`. An engine that lost a thread, or where none got on for `patience` seconds, throws `run/thread` from then
 * on.
 */
export async function instantiateThreads(
  place: Residence,
  entry: URL,
  threads: number,
  patience = usualPatience,
  signal?: AbortSignal,
): Promise<Engine> {
  const { exports } = await instanceOf(place);
  if (!hasFunctions(exports, "open", "forward", "stop", "fail")) throw refused(place, "exports no functions of a threaded module");
  exports.open(threads, mayWait() ? 1 : 0, patience);
  const { forward, stop } = exports;
  const team: Team = { stop, helpers: await startHelpers(entry, threads, place, signal) };
  /** What a call returns; null where all is well. */
  const statuses = [null, "a thread failed", `no thread got on for ${patience} seconds`] as const;
  let lost: string | null = null;
  const engine: Engine = {
    memory: place.memory,
    forward(rowCount, logitCount) {
      lost ??= team.helpers.fault();
      if (lost === null) {
        try {
          lost = statuses[Number(forward(rowCount, logitCount))] ?? null;
        } catch (cause) {
          // The units that this thread had taken will never be done.
          lost = "an earlier call stopped in the middle";
          throw refused(place, "stops in the middle of a call", cause);
        }
      }
      if (lost === null) return;
      throw new LfmcError("run/thread", lost, {
        subject: place.subject,
        hint: "Load the model again, with fewer threads if this happens again.",
      });
    },
    close() {
      forgottenEngines().unregister(engine);
      endTeam(team);
    },
  };
  forgottenEngines().register(engine, team, engine);
  return engine;
}

async function instanceOf(place: Residence): Promise<WebAssembly.Instance> {
  const { module, memory } = place;
  const imports = WebAssembly.Module.imports(module).map((each) => `${each.module}.${each.name}`);
  if (imports.join() !== "env.memory") throw refused(place, `imports ${imports.join(", ") || "nothing"}, not env.memory`);
  const instance = await WebAssembly.instantiate(module, { env: { memory } }).catch((cause: unknown) => {
    throw refused(place, "does not fit the planned memory", cause);
  });
  if (place.holdsWeights) embed(place, instance);
  return instance;
}

/** Has the module copy the weights that it holds to their place. */
function embed(place: Residence, { exports }: WebAssembly.Instance): void {
  if (!hasFunctions(exports, "embed")) throw refused(place, "exports no function `embed`, and the manifest names no weights");
  try {
    exports.embed();
  } catch (cause) {
    throw refused(place, "holds other weights than the planned memory", cause);
  }
}

function refused({ subject }: Residence, fact: string, cause?: unknown): LfmcError {
  return new LfmcError("artefact/mismatch", fact, {
    subject,
    hint: "The file was altered or belongs to another artefact; copy or compile it again.",
    cause,
  });
}
