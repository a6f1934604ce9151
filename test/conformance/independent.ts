/**
 * Emitted modules in the eyes of tools that did not make them: wabt reads and validates the whole binary, webassemblyjs reads its
 * imports and exports. (binaryen, which makes them, validates too; the engine does when it compiles.)
 */

import { decode } from "@webassemblyjs/wasm-parser";
import wabt from "wabt";

export interface ModuleShape {
  /** Pages of the one import, env.memory: its size and its maximum. */
  readonly memoryPages: number;
  /** Bits of its addresses; 32 by default. */
  readonly addresses?: 32 | 64;
  /** The names of all exports, each a function. */
  readonly functions: readonly string[];
}

const reader = wabt();

/** Throws where wabt rejects the binary, or where it does not import and export exactly what `shape` says. */
export async function checkModule(binary: Uint8Array, shape: ModuleShape): Promise<void> {
  const module = (await reader).readWasm(binary, { simd: true, relaxed_simd: true, memory64: shape.addresses === 64 });
  try {
    module.validate();
  } finally {
    module.destroy();
  }
  const found = shapeOf(binary);
  const { memoryPages, addresses = 32, functions } = shape;
  const expected = {
    imports: [`memory env.memory i${addresses} ${memoryPages}..${memoryPages}`],
    exports: functions.map((name) => `Func ${name}`).toSorted(),
  };
  if (JSON.stringify(found) !== JSON.stringify(expected)) {
    throw new Error(`module has ${JSON.stringify(found)}\ninstead of ${JSON.stringify(expected)}`);
  }
}

/** What comes before the flags of the memory's limits: names with their lengths, and the kind of import. */
const memoryImport = "\x03env\x06memory\x02";
/** Of the flags, which webassemblyjs does not know: addresses have 64 bits. */
const wideFlag = 4;

/** Imports and exports in words; exports sorted. */
function shapeOf(binary: Uint8Array): { readonly imports: readonly string[]; readonly exports: readonly string[] } {
  const bytes = Buffer.from(binary);
  const flagsAt = bytes.indexOf(memoryImport, 0, "latin1") + memoryImport.length;
  const flags = flagsAt < memoryImport.length ? 0 : bytes.readUInt8(flagsAt);
  const isWide = (flags & wideFlag) !== 0;
  if (isWide) bytes.writeUInt8(flags - wideFlag, flagsAt);
  const fields = decode(bytes, { ignoreCodeSection: true }).body.flatMap((module) => module.fields);
  return {
    imports: fields.flatMap((field) => {
      if (field.type !== "ModuleImport") return [];
      const { limits } = field.descr;
      const kind = field.descr.type === "Memory" ? "memory" : field.descr.type;
      return [`${kind} ${field.module}.${field.name} ${isWide ? "i64" : "i32"} ${limits?.min}..${limits?.max}`];
    }),
    exports: fields.flatMap((field) => (field.type === "ModuleExport" ? [`${field.descr.exportType} ${field.name}`] : [])).toSorted(),
  };
}
