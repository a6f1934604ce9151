/** AVX2 with the dot instruction of AVX-VNNI, in registers of 32 bytes. */
import { tilesOf } from "../../../compiler/kernel/atom.ts";
import { avx2 } from "./avx2.ts";
import type { Isa } from "./isa.ts";
import { quadAtom } from "./quad-atom.ts";
import { prefix } from "./x86.ts";

export const avxVnni: Isa = {
  ...avx2,
  name: "avx-vnni",
  targets: ["avx2", "avxvnni"],
  byRegister: {
    ...avx2.byRegister,
    dotQuadsUS: ({ bytes, args }) => `${prefix(bytes)}_dpbusd_avx_epi32(${args.join(", ")})`,
  },
  // Measured on a Xeon, gcc 12.2 (decision 0014).
  atoms: [quadAtom({ name: "avx_vnni", n: 8, tiles: tilesOf([4, 2, 1], { unpackedParts: 2 }), weights: "unsigned" })],
};
