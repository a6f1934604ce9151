/** Numbers as C literals that mean exactly the same bits. */
import { bytesOfElement, type Element } from "../../compiler/kernel/ir.ts";

/** A lane of a vector; integers are cut to their width. */
export function laneLiteral(element: Element, value: number): string {
  if (element === "f32") return floatLiteral(value);
  const unused = 32 - 8 * bytesOfElement(element);
  return intLiteral((value << unused) >> unused);
}

/** An int32_t; masks and the bits of floats are written in hexadecimal. */
export function intLiteral(value: number): string {
  if (value === -(2 ** 31)) return "INT32_MIN";
  const isPattern = value >= 0x7fff && /^(7?f+|.+0{3,})$/.test(value.toString(16));
  return isPattern ? `0x${value.toString(16)}` : String(value);
}

/** A float: the shortest decimal that rounds to it. */
export function floatLiteral(value: number): string {
  if (value === Infinity) return "INFINITY";
  if (value === -Infinity) return "-INFINITY";
  if (Object.is(value, -0)) return "-0.0f";
  for (let digits = 1; digits <= 9; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) !== value) continue;
    const shortest = String(Number(text));
    return /[.e]/.test(shortest) ? `${shortest}f` : `${shortest}.0f`;
  }
  return `${String(value)}f`;
}
