/** AVX2 with the dot instruction of AVX-VNNI, in registers of 32 bytes. */
import { packedTiles } from "../../../compiler/kernel/atom.ts";
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
  atoms: [quadAtom({ name: "avx_vnni", n: 8, tiles: packedTiles(4, 2, 1), weights: "unsigned" })],
};
