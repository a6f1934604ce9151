/** Portable C99: vectors are arrays of lanes, every operation a loop, and compilers make of it what they can. */
import { internal } from "../../../compiler/errors.ts";
import { panelRows } from "../../../compiler/kernel/library/panels.ts";
import type { Isa } from "./isa.ts";
import { wideningAtom } from "./widening-atom.ts";

const noRegisters = (): never => internal("the scalar set has no registers");

export const scalar: Isa = {
  name: "scalar",
  architecture: "any",
  targets: [],
  headers: [],
  registers: [],
  registerCount: 16,
  registerType: noRegisters,
  byRegister: {},
  byValue: {},
  part: noRegisters,
  load: noRegisters,
  store: noRegisters,
  prelude: [],
  enter: null,
  leave: null,
  atoms: [wideningAtom({ name: "scalar", n: panelRows })],
};
