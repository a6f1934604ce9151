/** Portable C99: vectors are arrays of lanes, every operation a loop, and compilers make of it what they can. */
import { internal } from "../../../compiler/errors.ts";
import type { Isa } from "./isa.ts";
import { scalarAtom } from "./scalar-atom.ts";

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
  atoms: [scalarAtom],
};
