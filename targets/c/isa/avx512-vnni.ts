/** AVX-512 with VNNI: registers of 64 bytes; comparisons give mask registers, which become lanes and back at no cost once compiled. */
import { tilesOf } from "../../../compiler/kernel/atom.ts";
import { required } from "../../../compiler/errors.ts";
import { panelRows } from "../../../compiler/kernel/library/panels.ts";
import type { Isa, RegisterRow, ValueRow } from "./isa.ts";
import { quadAtom } from "./quad-atom.ts";
import { byRegister, byValue, prefix, x86 } from "./x86.ts";

/** The row for registers of 64 bytes; narrower ones have AVX2's. */
function wide(op: keyof Isa["byRegister"], row: RegisterRow): RegisterRow {
  return (call) => (call.bytes === 64 ? row(call) : byRegister[op]?.(call));
}

function compared(float: string, integer: string): RegisterRow {
  return ({ element, args }) => {
    const mask =
      element === "f32" ? `_mm512_cmp_ps_mask(${args.join(", ")}, ${float})` : `_mm512_cmp${integer}_epi32_mask(${args.join(", ")})`;
    return `_mm512_movm_epi32(${mask})`;
  };
}

const narrow: ValueRow = (call, lane, count, bytes) => {
  const { operands, type } = call;
  const source = operands[0]?.lanes(lane, count);
  const sourceBits = type.element === "i16" ? 32 : 16;
  if (source === undefined || count * (sourceBits / 8) !== 2 * bytes) return byValue.narrowS?.(call, lane, count, bytes);
  return `${prefix(2 * bytes)}_cvtsepi${sourceBits}_epi${sourceBits / 2}(${source})`;
};

export const avx512Vnni: Isa = {
  ...x86,
  name: "avx512-vnni",
  targets: ["avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni"],
  registers: [16, 32, 64],
  registerCount: 32,
  byRegister: {
    ...byRegister,
    lt: wide("lt", compared("_CMP_LT_OQ", "lt")),
    eq: wide("eq", compared("_CMP_EQ_OQ", "eq")),
    select: wide("select", ({ result, args }) => {
      const [mask, yes, no] = [0, 1, 2].map((i) => required(args[i], "operand"));
      return `_mm512_mask_blend_${result === "f32" ? "ps" : "epi32"}(_mm512_movepi32_mask(${mask}), ${no}, ${yes})`;
    }),
    dotQuadsUS: ({ bytes, args }) => `${prefix(bytes)}_dpbusd_epi32(${args.join(", ")})`,
  },
  byValue: { ...byValue, narrowS: narrow },
  // Measured on a Xeon, gcc 12.2: sixteen rows from unpacked panels are 8 % faster yet, where calls fill them (decision 0014).
  atoms: [quadAtom({ name: "avx512_vnni", n: panelRows, tiles: tilesOf([8, 4, 2, 1]), weights: "unsigned" })],
};
