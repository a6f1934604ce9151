/** A WebAssembly module as an engine: one memory of the planned size, one instance, one export. */
import type { Engine } from "./engine.ts";
import { LfmcError } from "./errors.ts";
import type { Manifest, Variant } from "./manifest.ts";

/** The planned memory, zeroed: as large at first as it can ever be. Throws `run/memory` where the host has not got that much. */
export function createMemory({ name, memory: { pages, bytes } }: Manifest, { features }: Variant): WebAssembly.Memory {
  try {
    return newMemory(pages, features);
  } catch (cause) {
    throw new LfmcError("run/memory", `the host does not give ${bytes} bytes of WebAssembly memory`, {
      subject: name,
      hint: "Compile with a smaller --context or fewer --sessions, or run it where there is more memory.",
      cause,
    });
  }
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
    return await WebAssembly.compile(new Uint8Array(bytes));
  } catch (cause) {
    throw new LfmcError("run/variant", "the engine does not compile this module", {
      subject,
      hint: "Where code may not be generated at run time, import the module statically and pass it to load as `module`.",
      cause,
    });
  }
}

/** Instantiates `module` on `memory`; throws `artefact/mismatch` where it is not a module of this contract. */
export async function instantiate(subject: string, module: WebAssembly.Module, memory: WebAssembly.Memory): Promise<Engine> {
  const refused = (fact: string, cause?: unknown): LfmcError =>
    new LfmcError("artefact/mismatch", fact, {
      subject,
      hint: "The file was altered or belongs to another artefact; copy or compile it again.",
      cause,
    });
  const imports = WebAssembly.Module.imports(module).map((each) => `${each.module}.${each.name}`);
  if (imports.join() !== "env.memory") throw refused(`imports ${imports.join(", ") || "nothing"}, not env.memory`);
  const instance = await WebAssembly.instantiate(module, { env: { memory } }).catch((cause: unknown) => {
    throw refused("does not fit the planned memory", cause);
  });
  const { forward } = instance.exports;
  if (!isForward(forward)) throw refused("exports no function `forward`");
  return {
    memory,
    forward(rowCount, logitCount) {
      try {
        forward(rowCount, logitCount);
      } catch (cause) {
        throw refused("stops in the middle of a call", cause);
      }
    },
  };
}

function isForward(value: unknown): value is Engine["forward"] {
  return typeof value === "function";
}
