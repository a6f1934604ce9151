/**
 * Emitted modules in the eyes of tools that did not make them: wabt reads and validates the whole binary, webassemblyjs reads its
 * imports and exports. (binaryen, which makes them, validates too; the engine does when it compiles.)
 */

import { decode } from "@webassemblyjs/wasm-parser";
import wabt from "wabt";

export interface ModuleShape {
  /** Pages of the one import, env.memory: its size and its maximum. */
  readonly memoryPages: number;
  /** The maximum of a memory that threads share, which is then another. */
  readonly sharedPages?: number;
  /** Bits of its addresses; 32 by default. */
  readonly addresses?: 32 | 64;
  /** The names of all exports, each a function. */
  readonly functions: readonly string[];
}

const reader = wabt();

/** Throws where wabt rejects the binary, or where it does not import and export exactly what `shape` says. */
export async function checkModule(binary: Uint8Array, shape: ModuleShape): Promise<void> {
  const features = { simd: true, relaxed_simd: true, threads: true, memory64: shape.addresses === 64 };
  const module = (await reader).readWasm(binary, features);
  // Its types know nothing of the options.
  const validate: (options: object) => void = module.validate.bind(module);
  try {
    validate(features);
  } finally {
    module.destroy();
  }
  const found = shapeOf(binary);
  const { memoryPages, sharedPages, addresses = 32, functions } = shape;
  const expected = {
    imports: [`${sharedPages === undefined ? "" : "shared "}memory env.memory i${addresses} ${memoryPages}..${sharedPages ?? memoryPages}`],
    exports: functions.map((name) => `Func ${name}`).toSorted(),
  };
  if (JSON.stringify(found) !== JSON.stringify(expected)) {
    throw new Error(`module has ${JSON.stringify(found)}\ninstead of ${JSON.stringify(expected)}`);
  }
}

/** What comes before the flags of the memory's limits: names with their lengths, and the kind of import. */
const memoryImport = "\x03env\x06memory\x02";
/** Of the flags, which webassemblyjs does not know: threads share it; addresses have 64 bits. */
const sharedFlag = 2;
const wideFlag = 4;

/** Imports and exports in words; exports sorted. */
function shapeOf(binary: Uint8Array): { readonly imports: readonly string[]; readonly exports: readonly string[] } {
  const bytes = Buffer.from(binary);
  const flagsAt = bytes.indexOf(memoryImport, 0, "latin1") + memoryImport.length;
  const flags = flagsAt < memoryImport.length ? 0 : bytes.readUInt8(flagsAt);
  const [isShared, isWide] = [sharedFlag, wideFlag].map((flag) => (flags & flag) !== 0);
  if (flags > 1) bytes.writeUInt8(flags & ~(sharedFlag | wideFlag), flagsAt);
  const fields = decode(bytes, { ignoreCodeSection: true, ignoreDataSection: true }).body.flatMap((module) => module.fields);
  return {
    imports: fields.flatMap((field) => {
      if (field.type !== "ModuleImport") return [];
      const { limits } = field.descr;
      const kind = field.descr.type === "Memory" ? `${isShared ? "shared " : ""}memory` : field.descr.type;
      return [`${kind} ${field.module}.${field.name} ${isWide ? "i64" : "i32"} ${limits?.min}..${limits?.max}`];
    }),
    exports: fields.flatMap((field) => (field.type === "ModuleExport" ? [`${field.descr.exportType} ${field.name}`] : [])).toSorted(),
  };
}
