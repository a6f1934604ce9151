/** Lanes in a new order: a renaming where a part of the result is a part of an operand, else one `i8x16.shuffle` of two parts. */
import { internal, required } from "../../compiler/errors.ts";
import { bytesOfElement, type Type, type Value } from "../../compiler/kernel/ir.ts";
import type { Reader } from "./assembler.ts";
import type { FunctionWriter } from "./lower.ts";
import { partBytes, partCount } from "./parts.ts";

/** A lane of an operand's local. */
interface Source {
  readonly part: Reader;
  readonly lane: number;
}

/** The parts of `args`, lanes end to end, that hold `lanes` of them in this order; throws InternalError for a part that draws from more than two. */
export function shuffleParts(writer: FunctionWriter, args: readonly Value[], lanes: readonly number[], type: Type): readonly Reader[] {
  const lanesPerPart = partBytes / bytesOfElement(type.element);
  const sources = args.flatMap((value) => {
    const parts = writer.parts(value);
    return Array.from({ length: value.type.lanes }, (_, lane): Source => {
      return { part: required(parts[Math.floor(lane / lanesPerPart)], "part"), lane: lane % lanesPerPart };
    });
  });
  return Array.from({ length: partCount(type) }, (_, part) => {
    const wanted = lanes.slice(part * lanesPerPart, (part + 1) * lanesPerPart);
    return onePart(
      writer,
      wanted.map((lane) => required(sources[lane], "lane")),
      lanesPerPart,
    );
  });
}

function onePart(writer: FunctionWriter, wanted: readonly Source[], lanesPerPart: number): Reader {
  const parts = [...new Set(wanted.map(({ part }) => part))];
  const [left, right = left] = parts;
  if (!left || !right || parts.length > 2) return internal("a shuffle draws from more than two parts");
  if (parts.length === 1 && wanted.every(({ lane }, i) => lane === i)) return left;
  const size = partBytes / lanesPerPart;
  const mask = Array.from({ length: partBytes }, (_, byte) => {
    const source = wanted[Math.floor(byte / size)];
    // Lanes past the result's end are never seen; they keep their place.
    if (!source) return byte;
    return (source.part === left ? 0 : partBytes) + source.lane * size + (byte % size);
  });
  return writer.bind("v128", writer.asm.i8x16.shuffle(left(), right(), mask));
}
