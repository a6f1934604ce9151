/** AArch64's base instruction set: 8-bit products widened to 16 bits (smull, smlal), pairs of them added to 32 (sadalp). */
import type { Isa } from "./isa.ts";
import { rowsPerRegister, runsPerRegister, splatLoadedRuns } from "./neon-activations.ts";
import { load, part, registerBytes, registerType, store } from "./neon-registers.ts";
import { byRegister, byValue } from "./neon-rows.ts";
import { wideningAtom } from "./widening-atom.ts";

/** What every set of AArch64 has in common. */
export const base: Omit<Isa, "name" | "targets" | "atoms"> = {
  architecture: "arm",
  headers: ["arm_neon.h"],
  registers: [registerBytes],
  registerCount: 32,
  registerType,
  byRegister,
  byValue,
  part: (register, element, _, offset) => part(register, element, offset),
  load,
  store,
  prelude: [],
  enter: null,
  leave: null,
};

const widening = wideningAtom({ name: "neon", n: rowsPerRegister, runs: runsPerRegister, loadActivations: splatLoadedRuns });

export const neon: Isa = { ...base, name: "neon", targets: [], atoms: [widening] };
