/** AArch64's base instruction set: 8-bit products widened to 16 bits, as many added there as surely fit. */
import { required } from "../../../compiler/errors.ts";
import type { AtomFormat, DotAtom } from "../../../compiler/kernel/atom.ts";
import type { KernelBuilder } from "../../../compiler/kernel/builder.ts";
import { vector, type Value } from "../../../compiler/kernel/ir.ts";
import type { Isa } from "./isa.ts";
import { nibbles, rowsPerRegister, signedBytes, splatRuns, stepColumns, words } from "./neon-panels.ts";
import { load, part, registerBytes, registerType, store } from "./neon-registers.ts";
import { byRegister, byValue } from "./neon-rows.ts";

/** What every set of AArch64 has in common. */
export const base: Omit<Isa, "name" | "targets" | "atoms"> = {
  architecture: "arm",
  headers: ["arm_neon.h"],
  registers: [registerBytes],
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

/** Even lanes and odd lanes, added: neighbours of registers end to end. */
function addNeighbours(b: KernelBuilder, x: Value): Value {
  const half = Array.from({ length: x.type.lanes / 2 }, (_, i) => 2 * i);
  return b.add(
    b.shuffle(x, half),
    b.shuffle(
      x,
      half.map((lane) => lane + 1),
    ),
  );
}

/** total + the products of each weight register with its activations, as i16 (smull, smlal). */
function addProducts(b: KernelBuilder, total: Value | undefined, weights: readonly Value[], activations: readonly Value[]): Value {
  const products = weights.map((w, i) => b.mulWiden(w, required(activations[i], "activations")));
  return [...(total ? [total] : []), ...products].reduce((sum, product) => b.add(sum, product));
}

/** A row's sums stay in i16 for a whole group: 8 products of at most 15 * 127 in a lane, then two lanes added, are below 2^15. */
const q4: AtomFormat = {
  ...nibbles,
  step: (b, [total], activations, weights) => [addProducts(b, total, weights, activations)],
  finish: (b, [total]) => [b.addPairs(b.literal(words, 0), addNeighbours(b, required(total, "sums")))],
};

/** Two products of at most 128 * 127 fit in i16; their sums go on in i32, as pairs until the group's end (sadalp). */
const q8: AtomFormat = {
  ...signedBytes,
  step: (b, [pairs = b.literal(vector("i32", 2 * rowsPerRegister), 0)], activations, weights) => [
    [0, 2].reduce((sum, run) => b.addPairs(sum, addProducts(b, undefined, weights.slice(run, run + 2), activations.slice(run))), pairs),
  ],
  finish: (b, [pairs]) => [addNeighbours(b, required(pairs, "sums"))],
};

const widening: DotAtom = {
  name: "neon",
  tile: { m: 1, n: rowsPerRegister, k: stepColumns },
  rowsPerTile: [2, 1],
  rest: null,
  loadActivations: splatRuns,
  formats: { q4_0: q4, q8_0: q8 },
};

export const neon: Isa = { ...base, name: "neon", targets: [], atoms: [widening] };
