/**
 * Instructions that some machines have for products of bytes: rows of the operations' table (ops). Only atoms use them, and a target may lack those
 * that none of its atoms names.
 */
import { sameType, vector } from "./ir.ts";
import { mismatch, operand, saturated, type Operation } from "./operation.ts";

/** acc[i] + the sum of a[4i + c] b[4i + c] over c < 4; `read` gives a's bytes their sign. */
function dotQuads(name: string, read: (a: number) => number): Operation {
  return {
    result: (args) => {
      const [acc, a, b] = args;
      const right = acc?.element === "i32" && acc.lanes > 1 && a?.element === "i8" && a.lanes === 4 * acc.lanes;
      return right && b && sameType(a, b) ? acc : mismatch(name, args);
    },
    meaning: (args) =>
      operand(args, 0).map((sum, i) => {
        let total = sum;
        for (let c = 4 * i; c < 4 * i + 4; c++) total += read(operand(operand(args, 1), c)) * operand(operand(args, 2), c);
        return total | 0;
      }),
  };
}

export const dotOperations = {
  /** acc[i] + the sum of u[4i + c] s[4i + c] over c < 4: u unsigned, s signed (x86 vpdpbusd). */
  dotQuadsUS: dotQuads("dotQuadsUS", (a) => a & 255),
  /** The same of two signed operands (Arm sdot). */
  dotQuadsSS: dotQuads("dotQuadsSS", (a) => a),
  /** u[2i] s[2i] + u[2i+1] s[2i+1] as i16, saturating: u unsigned, s signed (x86 maddubs). */
  dotPairsUS: {
    result: (args) => {
      const [u, s] = args;
      return u?.element === "i8" && s && sameType(u, s) && u.lanes % 2 === 0 ? vector("i16", u.lanes / 2) : mismatch("dotPairsUS", args);
    },
    meaning: (args, _, type) => {
      const product = (i: number): number => (operand(operand(args, 0), i) & 255) * operand(operand(args, 1), i);
      return Array.from({ length: type.lanes }, (_lane, i) => saturated(product(2 * i) + product(2 * i + 1), 16));
    },
  },
  /** Signed bytes multiplied to i16, which holds every product (Arm smull). */
  mulWiden: {
    result: (args) => {
      const [a, b] = args;
      return a?.element === "i8" && a.lanes > 1 && b && sameType(a, b) ? vector("i16", a.lanes) : mismatch("mulWiden", args);
    },
    meaning: (args) => operand(args, 0).map((a, i) => a * operand(operand(args, 1), i)),
  },
  /** acc[i] + x[2i] + x[2i+1], x of i16 (Arm sadalp). */
  addPairs: {
    result: (args) => {
      const [acc, x] = args;
      return acc?.element === "i32" && acc.lanes > 1 && x?.element === "i16" && x.lanes === 2 * acc.lanes
        ? acc
        : mismatch("addPairs", args);
    },
    meaning: (args) =>
      operand(args, 0).map((sum, i) => (sum + operand(operand(args, 1), 2 * i) + operand(operand(args, 1), 2 * i + 1)) | 0),
  },
  /** For each 16 bytes of a and b, as matrices of 2 rows by 8: acc[2i + j] + the sum of a[i][k] b[j][k], signed (Arm smmla). */
  dotMatrix: {
    result: (args) => {
      const [acc, a, b] = args;
      const right = acc?.element === "i32" && acc.lanes % 4 === 0 && a?.element === "i8" && a.lanes === 4 * acc.lanes;
      return right && b && sameType(a, b) ? acc : mismatch("dotMatrix", args);
    },
    meaning: (args) =>
      operand(args, 0).map((sum, lane) => {
        const [block, i, j] = [lane >> 2, (lane >> 1) & 1, lane & 1];
        let total = sum;
        for (let k = 0; k < 8; k++) {
          total += operand(operand(args, 1), 16 * block + 8 * i + k) * operand(operand(args, 2), 16 * block + 8 * j + k);
        }
        return total | 0;
      }),
  },
  /** r[i][n] = the sum over k < 32 of s[i][k] u[k / 4][n][k % 4], n < 16: s signed, 32 bytes a row, u unsigned (x86 tdpbsud). */
  dotTile: {
    result: (args) => {
      const [s, u] = args;
      const right = s?.element === "i8" && s.lanes % 32 === 0 && s.lanes <= 512 && u?.element === "i8" && u.lanes === 512;
      return right ? vector("i32", s.lanes / 2) : mismatch("dotTile", args);
    },
    meaning: (args, _, type) => {
      const [s, u] = [operand(args, 0), operand(args, 1)];
      return Array.from({ length: type.lanes }, (_lane, lane) => {
        const [i, n] = [lane >> 4, lane & 15];
        let total = 0;
        for (let k = 0; k < 32; k++) total += operand(s, 32 * i + k) * (operand(u, 64 * (k >> 2) + 4 * n + (k & 3)) & 255);
        return total | 0;
      });
    },
  },
} as const satisfies Record<string, Operation>;

export type DotInstruction = keyof typeof dotOperations;
export const dotInstructions = Object.keys(dotOperations) as readonly DotInstruction[];
