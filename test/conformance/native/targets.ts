/** The C instruction sets as conformance targets: each with a compiler for it, and an emulator where the machine is another. */
import { fileURLToPath } from "node:url";
import { amx } from "../../../targets/c/isa/amx.ts";
import { avx2 } from "../../../targets/c/isa/avx2.ts";
import { avx512Vnni } from "../../../targets/c/isa/avx512-vnni.ts";
import { avxVnni } from "../../../targets/c/isa/avx-vnni.ts";
import type { Isa } from "../../../targets/c/isa/isa.ts";
import { neonDot } from "../../../targets/c/isa/neon-dot.ts";
import { neonI8mm } from "../../../targets/c/isa/neon-i8mm.ts";
import { neon } from "../../../targets/c/isa/neon.ts";
import { scalar } from "../../../targets/c/isa/scalar.ts";
import { emitKernelSource } from "../../../targets/c/unit.ts";
import { obstacle, toolchains, units, type Toolchain } from "../../bits/toolchains.ts";
import type { ConformanceTarget } from "../targets.ts";
import { buildMachine } from "./machine.ts";

const { gcc, clang, armGcc } = toolchains;

/** Tile instructions as C functions, for processors without them: the order of operands and the shapes of tiles show all the same. */
const emulatedTiles = ["-include", fileURLToPath(new URL("emulated-tiles.h", import.meta.url))];

export const cTargets: readonly ConformanceTarget[] = [
  { ...cTarget(scalar, clang), enough: "all" },
  // gcc unrolls the lanes of portable code, which takes it four times as long as clang.
  { ...cTarget(scalar, gcc), enough: "some" },
  cTarget(avx2, gcc),
  { ...cTarget(avxVnni, clang), like: "C avx2, gcc" },
  cTarget(avx512Vnni, gcc),
  { ...cTarget(amx, gcc), like: "C avx512-vnni, gcc" },
  { ...cTarget(amx, gcc, emulatedTiles), name: "C amx, emulated tiles", like: "C avx512-vnni, gcc", skip: obstacleOf(avx512Vnni, gcc) },
  cTarget(neon, armGcc),
  { ...cTarget(neonDot, armGcc), like: "C neon, gcc" },
  { ...cTarget(neonI8mm, armGcc), like: "C neon, gcc" },
];

function obstacleOf({ name }: Isa, toolchain: Toolchain): string | null {
  const unit = units.find(({ variant }) => variant === name);
  return unit ? obstacle(unit, toolchain) : `no unit is called ${name}`;
}

function cTarget(isa: Isa, toolchain: Toolchain, more: readonly string[] = []): ConformanceTarget {
  const cpu = units.find(({ variant }) => variant === isa.name)?.cpu ?? "";
  return {
    name: `C ${isa.name}, ${toolchain.name}`,
    atoms: isa.atoms,
    lacks: [],
    like: null,
    enough: "forms",
    skip: obstacleOf(isa, toolchain),
    build: (kernels, { memoryBytes, optimize, mayWarn = false }) => {
      const flags = [...toolchain.flags, ...more, ...(mayWarn ? ["-w"] : []), optimize ? "-O1" : "-O0"];
      const { compiler } = toolchain;
      return Promise.resolve(
        buildMachine(kernels, emitKernelSource(kernels, isa), memoryBytes, { compiler, flags, runner: toolchain.runner(cpu) }),
      );
    },
  };
}
