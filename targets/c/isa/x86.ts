/**
 * What the x86-64 sets share: registers of 16, 32 and 64 bytes whose intrinsics differ in their prefix alone, and the rows of AVX2. Wider sets
 * add rows.
 */
import { internal, required } from "../../../compiler/errors.ts";
import { bytesOfElement, type Element } from "../../../compiler/kernel/ir.ts";
import type { HeldOperand, Isa, RegisterCall, RegisterRow, ValueCall, ValueRow } from "./isa.ts";

const prefixes: Readonly<Record<number, string>> = { 16: "_mm", 32: "_mm256", 64: "_mm512" };
const suffixes = { f32: "ps", i32: "epi32", i16: "epi16", i8: "epi8" } as const;

/** `_mm256` for registers of 32 bytes. */
export function prefix(bytes: number): string {
  return required(prefixes[bytes], `prefix of ${bytes} bytes`);
}

/** `ps`, `epi32`, …: the form of an intrinsic for an element. */
export function suffix(element: Element): string {
  return element === "ptr" ? internal("no vectors of pointers") : suffixes[element];
}

/** `si256`: a register of integers as a whole. */
function whole(bytes: number): string {
  return `si${bytes * 8}`;
}

/** The intrinsic `name` of the operands in their order, for the elements given. */
export function intrinsic(name: string, ...elements: readonly Element[]): RegisterRow {
  return ({ element, bytes, args }) =>
    elements.includes(element) ? `${prefix(bytes)}_${name}_${suffix(element)}(${args.join(", ")})` : undefined;
}

/** The same with the immediate as its last operand. */
function withConstant(name: string): RegisterRow {
  return ({ element, bytes, args, immediates }) =>
    element === "i32" || element === "i16"
      ? `${prefix(bytes)}_${name}_${suffix(element)}(${required(args[0], "operand")}, ${required(immediates[0], "constant")})`
      : undefined;
}

/** The operands exchanged. */
function reversed(row: RegisterRow): RegisterRow {
  return (call) => row({ ...call, args: call.args.toReversed() });
}

/** Bits of whole registers; f32 has none in the IR. */
function bitwise(name: string): RegisterRow {
  return ({ bytes, args }) => `${prefix(bytes)}_${name}_${whole(bytes)}(${args.join(", ")})`;
}

function argument(args: readonly string[], index: number): string {
  return required(args[index], "operand");
}

/** A register seen as of another element. */
function cast(register: string, from: Element, to: Element, bytes: number): string {
  if ((from === "f32") === (to === "f32")) return register;
  return from === "f32" ? `${prefix(bytes)}_castps_${whole(bytes)}(${register})` : `${prefix(bytes)}_cast${whole(bytes)}_ps(${register})`;
}

/** The comparison `predicate` as lanes of 0 and -1. */
function compared(predicate: string, integers: RegisterRow): RegisterRow {
  return (call) => {
    const { element, bytes, args } = call;
    if (element !== "f32") return integers(call);
    return cast(`${prefix(bytes)}_cmp_ps(${args.join(", ")}, ${predicate})`, "f32", "i32", bytes);
  };
}

/** Rows for registers of 16 and 32 bytes. */
export const byRegister: Isa["byRegister"] = {
  add: intrinsic("add", "f32", "i32", "i16"),
  sub: intrinsic("sub", "f32", "i32"),
  mul: (call) => intrinsic(call.element === "f32" ? "mul" : "mullo", "f32", "i32", "i16")(call),
  div: intrinsic("div", "f32"),
  // minps gives its second operand unless the first is less: the IR's b < a ? b : a with the operands exchanged; maxps likewise.
  min: reversed(intrinsic("min", "f32")),
  max: reversed(intrinsic("max", "f32")),
  abs: ({ bytes, args }) => `${prefix(bytes)}_andnot_ps(${prefix(bytes)}_set1_ps(-0.0f), ${argument(args, 0)})`,
  sqrt: intrinsic("sqrt", "f32"),
  and: bitwise("and"),
  or: bitwise("or"),
  xor: bitwise("xor"),
  shl: withConstant("slli"),
  shrS: withConstant("srai"),
  shrU: (call) => (call.element === "i8" ? byteShift(call) : withConstant("srli")(call)),
  lt: compared("_CMP_LT_OQ", reversed(intrinsic("cmpgt", "i32"))),
  eq: compared("_CMP_EQ_OQ", intrinsic("cmpeq", "i32")),
  select: ({ result, bytes, args }) => {
    const [mask, yes, no] = [argument(args, 0), argument(args, 1), argument(args, 2)];
    const float = (register: string): string => cast(register, result, "f32", bytes);
    return cast(`${prefix(bytes)}_blendv_ps(${float(no)}, ${float(yes)}, ${cast(mask, "i32", "f32", bytes)})`, "f32", result, bytes);
  },
  toFloat: ({ bytes, args }) => `${prefix(bytes)}_cvtepi32_ps(${argument(args, 0)})`,
  bitcast: ({ element, result, bytes, args }) => cast(argument(args, 0), element, result, bytes),
  dotPairs: ({ bytes, args }) => `${prefix(bytes)}_madd_epi16(${args.join(", ")})`,
  dotPairsUS: ({ bytes, args }) => `${prefix(bytes)}_maddubs_epi16(${args.join(", ")})`,
};

/** There is no shift of bytes: 16-bit lanes are shifted, and the bits that come from the neighbour cleared. */
function byteShift({ bytes, args, immediates }: RegisterCall): string {
  const bits = required(immediates[0], "constant");
  const shifted = `${prefix(bytes)}_srli_epi16(${argument(args, 0)}, ${bits})`;
  return `${prefix(bytes)}_and_${whole(bytes)}(${shifted}, ${prefix(bytes)}_set1_epi8(${((255 >> bits) << 24) >> 24}))`;
}

function splat(element: Element, bytes: number, value: string): string {
  return element === "i8" || element === "i16" || element === "i32" || element === "f32"
    ? `${prefix(bytes)}_set1_${suffix(element)}(${value})`
    : internal("no vectors of pointers");
}

/** Lanes of the operands, laid end to end. */
function lanesAcross(operands: readonly HeldOperand[], lane: number, count: number): string | undefined {
  let start = lane;
  for (const { type, lanes } of operands) {
    if (start < type.lanes) return start + count <= type.lanes ? lanes(start, count) : undefined;
    start -= type.lanes;
  }
  return undefined;
}

/** `bytes` bytes of a register, from its halves. */
function joined(element: Element, bytes: number, low: string, high: string): string {
  const float = element === "f32";
  if (bytes === 64) {
    const widened = `_mm512_cast${float ? "ps256_ps512" : "si256_si512"}(${low})`;
    return float ? `_mm512_insertf32x8(${widened}, ${high}, 1)` : `_mm512_inserti64x4(${widened}, ${high}, 1)`;
  }
  if (bytes === 32) return float ? `_mm256_set_m128(${high}, ${low})` : `_mm256_set_m128i(${high}, ${low})`;
  return float ? `_mm_movelh_ps(${low}, ${high})` : `_mm_unpacklo_epi64(${low}, ${high})`;
}

/** Registers made of consecutive lanes of the operands, whole or of smaller pieces. */
function gathered(operands: readonly HeldOperand[], element: Element, first: number, count: number, bytes: number): string | undefined {
  const direct = lanesAcross(operands, first, count);
  if (direct !== undefined || bytes < 16 || count < 2) return direct;
  const half = count / 2;
  const [low, high] = [first, first + half].map((lane) => gathered(operands, element, lane, half, bytes / 2));
  return low === undefined || high === undefined ? undefined : joined(element, bytes, low, high);
}

/** Lanes that follow each other are parts of registers put together; other orders go through memory. */
const shuffle: ValueRow = ({ operands, immediates, type }, lane, count, bytes) => {
  const wanted = immediates.slice(lane, lane + count);
  const [first = 0] = wanted;
  if (wanted.some((source, i) => source !== first + i)) return undefined;
  return gathered(operands, type.element, first, count, bytes);
};

/** `cvtepi16_epi32` and its like take a register of half the width. */
function widen(unsigned: "" | "u"): ValueRow {
  return ({ operands, type }, lane, count, bytes) => {
    const source = operands[0]?.lanes(lane, count);
    const from = type.element === "i16" ? "i8" : "i16";
    return source && `${prefix(bytes)}_cvtep${unsigned || "i"}${bytesOfElement(from) * 8}_${suffix(type.element)}(${source})`;
  };
}

/** packs works on each 16 bytes apart: the middle quarters of a wider register come out exchanged. */
const narrow: ValueRow = ({ operands, type }, lane, count, bytes) => {
  const [source] = operands;
  const name = type.element === "i16" ? "packs_epi32" : "packs_epi16";
  const bytesOfSource = 2 * count * bytesOfElement(type.element);
  if (!source || bytes > 32) return undefined;
  // One register of twice the bytes, whose halves are packed; or two of as many.
  if (bytesOfSource <= 16) {
    const only = source.lanes(lane, count);
    return only && `_mm_${name}(${only}, ${only})`;
  }
  const [low, high] = [source.lanes(lane, count / 2), source.lanes(lane + count / 2, count / 2)];
  if (low === undefined || high === undefined) return undefined;
  if (bytes === 16) return `_mm_${name}(${low}, ${high})`;
  return `_mm256_permute4x64_epi64(_mm256_${name}(${low}, ${high}), 0xd8)`;
};

const lane: ValueRow = ({ operands, immediates, type }) => {
  const index = required(immediates[0], "lane");
  const quarter = operands[0]?.lanes(index - (index % 4), Math.min(4, operands[0].type.lanes));
  if (quarter === undefined) return undefined;
  if (type.element === "i32") return index % 4 === 0 ? `_mm_cvtsi128_si32(${quarter})` : `_mm_extract_epi32(${quarter}, ${index % 4})`;
  return index % 4 === 0 ? `_mm_cvtss_f32(${quarter})` : `_mm_cvtss_f32(_mm_permute_ps(${quarter}, ${index % 4}))`;
};

function splatRow({ type, args }: ValueCall, bytes: number): string {
  return splat(type.element, bytes, argument(args, 0));
}

export const byValue: Isa["byValue"] = {
  splat: (call, _, __, bytes) => splatRow(call, bytes),
  loadSplat: (call, _, __, bytes) => splatRow(call, bytes),
  const: ({ type, immediates }, _, __, bytes) => {
    const [value = 0] = immediates;
    return type.element !== "f32" && immediates.every((other) => other === value) ? splat(type.element, bytes, String(value)) : undefined;
  },
  widenS: widen(""),
  widenU: widen("u"),
  narrowS: narrow,
  concat: ({ operands, type }, first, count, bytes) => gathered(operands, type.element, first, count, bytes),
  shuffle,
  lane,
};

/** The half or quarter of a register; from 16 bytes down, the high 8 bytes moved to the front. */
export function part(register: string, element: Element, width: number, offset: number, bytes: number): string | undefined {
  const float = element === "f32";
  if (width === 16) {
    if (offset === 0) return register;
    if (offset !== 8) return undefined;
    return float ? `_mm_movehl_ps(${register}, ${register})` : `_mm_unpackhi_epi64(${register}, ${register})`;
  }
  const narrower = Math.max(16, bytes);
  if (narrower === width) return offset === 0 ? register : undefined;
  const [index, within] = [Math.floor(offset / narrower), offset % narrower];
  const piece =
    index === 0
      ? `${prefix(width)}_cast${float ? `ps${width * 8}_ps${narrower * 8}` : `${whole(width)}_${whole(narrower)}`}(${register})`
      : extracted(register, float, width, narrower, index);
  return within === 0 ? piece : part(piece, element, 16, within, bytes);
}

function extracted(register: string, float: boolean, width: number, narrower: number, index: number): string {
  if (width === 32) return `_mm256_extract${float ? "f128_ps" : "i128_si256"}(${register}, ${index})`;
  const pieces = narrower === 32 ? (float ? "f32x8_ps" : "i64x4_epi64") : float ? "f32x4_ps" : "i32x4_epi32";
  return `_mm512_extract${pieces}(${register}, ${index})`;
}

export function registerType(element: Element, bytes: number): string {
  return `__m${bytes * 8}${element === "f32" ? "" : "i"}`;
}

export function load(pointer: string, element: Element, bytes: number): string {
  if (element === "f32") return `${prefix(bytes)}_loadu_ps((const float *)(const void *)(${pointer}))`;
  return `${prefix(bytes)}_loadu_${whole(bytes)}((const ${registerType(element, bytes)} *)(const void *)(${pointer}))`;
}

export function store(pointer: string, value: string, element: Element, bytes: number): string {
  if (element === "f32") return `${prefix(bytes)}_storeu_ps((float *)(void *)(${pointer}), ${value})`;
  return `${prefix(bytes)}_storeu_${whole(bytes)}((${registerType(element, bytes)} *)(void *)(${pointer}), ${value})`;
}

/** What every x86-64 set has in common. */
export const x86: Omit<Isa, "name" | "targets" | "registers" | "atoms"> = {
  architecture: "x86",
  registerCount: 16,
  headers: ["immintrin.h"],
  registerType,
  byRegister,
  byValue,
  part,
  load,
  store,
  prelude: [],
  enter: null,
  leave: null,
};
