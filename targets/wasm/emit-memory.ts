/** Loads and stores of vectors in parts of 16 bytes; the last part of a row may be short. */
import { internal } from "../../compiler/errors.ts";
import { bytesOfElement, type Element } from "../../compiler/kernel/ir.ts";
import type { Reader } from "./assembler.ts";
import type { FunctionWriter } from "./lower.ts";
import { partBytes } from "./parts.ts";

export interface LoadPlace {
  readonly address: Reader;
  readonly offset: number;
  /** Alignment that every access keeps, in bytes. */
  readonly alignment: number;
}

/** `parts` locals, of which the first `loadedBytes` bytes come from memory and the rest are 0. */
export function loadParts(writer: FunctionWriter, place: LoadPlace, parts: number, loadedBytes: number): readonly Reader[] {
  return Array.from({ length: parts }, (_, part) => {
    const bytes = Math.max(0, Math.min(partBytes, loadedBytes - part * partBytes));
    return loadPart(writer, { ...place, offset: place.offset + part * partBytes }, bytes);
  });
}

function loadPart(writer: FunctionWriter, { address, offset, alignment }: LoadPlace, bytes: number): Reader {
  const { v128 } = writer.asm;
  switch (bytes) {
    case 0:
      return () => v128.const(new Array<number>(partBytes).fill(0));
    case 4:
      return writer.bind("v128", v128.load32_zero(offset, alignment, address()));
    case 8:
      return writer.bind("v128", v128.load64_zero(offset, alignment, address()));
    case 12: {
      const low = v128.load64_zero(offset, alignment, address());
      return writer.bind("v128", v128.load32_lane(offset + 8, alignment, 2, address(), low));
    }
    case partBytes:
      return writer.bind("v128", v128.load(offset, alignment, address()));
    default:
      return internal(`cannot load ${bytes} bytes into a vector`);
  }
}

export interface StoreParts {
  readonly address: Reader;
  readonly offset: number;
  readonly element: Element;
  readonly storedBytes: number;
  readonly scalar: boolean;
  readonly parts: readonly Reader[];
}

/** Stores the first `storedBytes` bytes. */
export function storeParts(writer: FunctionWriter, { address, offset, element, storedBytes, scalar, parts }: StoreParts): void {
  const { i32, f32 } = writer.asm;
  const alignment = bytesOfElement(element);
  const [first] = parts;
  if (scalar && first) {
    if (element === "ptr") return internal("a pointer has no bytes");
    const store = { i8: i32.store8, i16: i32.store16, i32: i32.store, f32: f32.store }[element];
    writer.emit(store(offset, alignment, address(), first()));
    return;
  }
  parts.forEach((part, i) => {
    const bytes = Math.max(0, Math.min(partBytes, storedBytes - i * partBytes));
    storePart(writer, { address, offset: offset + i * partBytes, alignment }, part, bytes);
  });
}

function storePart(writer: FunctionWriter, { address, offset, alignment }: LoadPlace, part: Reader, bytes: number): void {
  const { v128 } = writer.asm;
  if (bytes === partBytes) {
    writer.emit(v128.store(offset, alignment, address(), part()));
    return;
  }
  if (bytes % 4 !== 0) internal(`cannot store ${bytes} bytes of a vector`);
  if (bytes >= 8) writer.emit(v128.store64_lane(offset, alignment, 0, address(), part()));
  if (bytes % 8 === 4) writer.emit(v128.store32_lane(offset + bytes - 4, alignment, bytes / 4 - 1, address(), part()));
}
