/**
 * The numeric contract: every step is one binary32 rounding, in an order that no chunking, threading or tiling can move. What
 * this file computes is the definition that kernels are compared with, bit for bit.
 */
import { internal } from "../../errors.ts";
import { sigmoid, silu } from "../../numeric/exp.ts";
import { fold16 } from "../../numeric/fold16.ts";
import { ropeAngle, ropeTables, type RopeTables } from "../../numeric/rope.ts";
import { contractAttend } from "./contract-attention.ts";
import { contractProduct } from "./contract-product.ts";
import type { Arithmetic } from "./arithmetic.ts";

export const contract: Arithmetic = {
  mode: "contract",
  round: Math.fround,
  sum: fold16,
  sigmoid,
  silu,
  product: contractProduct,
  ropeAngles: (headSize, base, position, m) => ropeAngle(tablesFor(headSize, base, position), headSize, position, m),
  attend: contractAttend,
};

/** Tables cover this many positions at first and grow by doubling; a table's rows do not depend on its length. */
const firstTableLength = 4096;
const tableCache = new Map<string, { readonly positions: number; readonly tables: RopeTables }>();

function tablesFor(headSize: number, base: number, position: number): RopeTables {
  if (position >= 2 ** 24) internal(`no rope table reaches position ${position}`);
  const key = `${headSize}/${base}`;
  const found = tableCache.get(key);
  if (found && position < found.positions) return found.tables;
  let positions = found?.positions ?? firstTableLength;
  while (positions <= position) positions *= 2;
  const tables = ropeTables(headSize, base, positions);
  tableCache.set(key, { positions, tables });
  return tables;
}
