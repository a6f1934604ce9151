/**
 * The table that conformance is generated from: for every exported function of compiler/kernel/library that makes a kernel or an
 * epilogue, the cases that hold it to the interpreter. `library.test.ts` fails where a function has no row here.
 */

import type { DotAtom } from "../../compiler/kernel/atom.ts";
import type { Case } from "./case.ts";
import { attentionCases, kvAppendCases } from "./cases/attention.ts";
import { combineExpertsCases, expertProductCases, gatherRowsCases, groupRowsCases, routerCases } from "./cases/experts.ts";
import { gemmCases, shortConvCases, storeCases, swigluCases } from "./cases/products.ts";
import {
  argmaxCases,
  combinationCases,
  embeddingCases,
  quantizeCases,
  rmsNormCases,
  rmsNormQuantizeCases,
  ropeCases,
  selectRowsCases,
} from "./cases/rows.ts";

/** The cases of a function for a target's atoms. */
export type CaseMaker = (atoms: readonly DotAtom[]) => readonly Case[];

/** Products: one row for the skeleton, one for each epilogue. */
export const products: Readonly<Record<string, CaseMaker>> = {
  gemm: (atoms) => [...gemmCases(atoms), ...expertProductCases(atoms)],
  storeEpilogue: storeCases,
  swigluEpilogue: swigluCases,
  shortConvEpilogue: shortConvCases,
};

/** Everything else. */
export const others: Readonly<Record<string, CaseMaker>> = {
  argmax: argmaxCases,
  attention: attentionCases,
  combineExperts: combineExpertsCases,
  elementwise: combinationCases,
  embedding: embeddingCases,
  gatherRows: gatherRowsCases,
  groupRows: groupRowsCases,
  kvAppend: kvAppendCases,
  quantize: quantizeCases,
  rmsNorm: rmsNormCases,
  rmsNormQuantize: rmsNormQuantizeCases,
  rope: ropeCases,
  router: routerCases,
  selectRows: selectRowsCases,
};
