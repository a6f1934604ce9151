/** Cases of the kernels of a mixture of experts: numbers of experts on both sides of a panel, experts without rows, rows of all experts. */

import type { DotAtom } from "../../../compiler/kernel/atom.ts";
import { combineExperts } from "../../../compiler/kernel/library/combine-experts.ts";
import { storeEpilogue, swigluEpilogue } from "../../../compiler/kernel/library/epilogues.ts";
import { groupListBytes, groupRows, groupScratchBytes } from "../../../compiler/kernel/library/expert-groups.ts";
import { gatherRows } from "../../../compiler/kernel/library/gather-rows.ts";
import { gemm, tileBytes } from "../../../compiler/kernel/library/gemm.ts";
import { isGrouped } from "../../../compiler/kernel/library/panels.ts";
import { gateLayout, router, routerScratchBytes } from "../../../compiler/kernel/library/router.ts";
import { roundUp } from "../../../compiler/numeric/quantize.ts";
import type { Case } from "../case.ts";
import { activationsOf, evenly, flavours, floats, integers, matrix, ordinary, quantized, unwritten } from "../fills.ts";
import type { Arguments, Fill } from "../image.ts";
import { seededBy } from "../random.ts";
import { multipliers, type Multiplier } from "./products.ts";
import { quantizedOutput } from "./rows.ts";

interface Choice {
  readonly expertCount: number;
  readonly topK: number;
}

const choices: readonly Choice[] = [
  { expertCount: 1, topK: 1 },
  { expertCount: 3, topK: 3 },
  { expertCount: 8, topK: 2 },
  { expertCount: 16, topK: 1 },
  { expertCount: 17, topK: 4 },
  { expertCount: 32, topK: 4 },
  { expertCount: 40, topK: 19 },
];

/** Few different numbers, so that scores are often equal. */
const ties: Fill = (region, random) => {
  for (let at = 0; at < region.byteLength; at += 4) region.setFloat32(at, random.pick([0, 0.25, -0.25]), true);
};

/** Gates that decide: sigmoids in the middle, equal ones, and ones as small as the epsilon. */
const gates = [
  { x: ordinary, weights: evenly(-0.3, 0.3), width: 64 },
  { x: ties, weights: ties, width: 20 },
  { x: evenly(0, 1), weights: evenly(-1.4, 0), width: 33 },
] as const;

export function routerCases(): readonly Case[] {
  return choices.flatMap(({ expertCount, topK }, i) =>
    gates.flatMap(({ x, weights, width }, j): readonly Case[] => {
      const [inputStride, outputStride] = [70, topK + 3];
      const bias = (i + j) % 2 === 0;
      const kernel = router({
        ...{ expertCount, topK, width, bias, inputStride, outputStride },
        epsilon: j === 1 ? null : 1e-6,
        scale: [2.5, 1, 0.5][j] ?? 1,
      });
      return [0, 1, 5].map((rows) => ({
        kernel,
        label: `${rows} rows, gate ${j}`,
        args: {
          x: floats(rows * inputStride, x),
          weights: { ...matrix(gateLayout(expertCount, width)), fill: weights },
          ...(bias ? { bias: floats(roundUp(expertCount, 16), evenly(-0.3, 0.3)) } : {}),
          scratch: unwritten(routerScratchBytes(expertCount) / 4),
          experts: unwritten(rows * outputStride),
          out: unwritten(rows * outputStride),
          rows,
        },
      }));
    }),
  );
}

/** For each row, as many distinct experts as it has, in rising order; rows lie `stride` apart, with canaries of another kind between. */
function chosenExperts({ expertCount, topK }: Choice, rows: number, stride: number): readonly number[] {
  const random = seededBy(`${expertCount} ${topK} ${rows}`);
  // Half of the calls keep to few experts, so that others have no rows.
  const pool = Array.from({ length: rows % 2 === 0 ? expertCount : Math.min(expertCount, topK + 1) }, (_, expert) => expert);
  return Array.from({ length: rows }, () => {
    const left = [...pool];
    const own = Array.from({ length: topK }, () => left.splice(random.below(left.length), 1)[0] ?? 0);
    return [...own.toSorted((a, b) => a - b), ...new Array<number>(stride - topK).fill(-1)];
  }).flat();
}

export function groupRowsCases(): readonly Case[] {
  return choices.flatMap((choice) => {
    const stride = choice.topK + 3;
    const kernel = groupRows({ ...choice, stride });
    return [1, 2, 9].map((rows): Case => ({
      kernel,
      label: `${rows} rows`,
      args: {
        experts: integers(chosenExperts(choice, rows, stride)),
        scratch: unwritten(groupScratchBytes(choice.expertCount) / 4),
        places: unwritten(rows * stride),
        groups: unwritten(groupListBytes(choice.expertCount) / 4),
        rows,
      },
    }));
  });
}

/** Places of rows in some order, each once. */
function shuffledPlaces(rows: number, topK: number, stride: number): readonly number[] {
  const random = seededBy(`places ${rows} ${topK}`);
  const left = Array.from({ length: rows * topK }, (_, place) => place);
  return Array.from({ length: rows * stride }, (_, i) => (i % stride < topK ? (left.splice(random.below(left.length), 1)[0] ?? 0) : -1));
}

export function gatherRowsCases(): readonly Case[] {
  const widths = [1, 16, 33, 66, 100];
  return widths.flatMap((width, i) =>
    [true, false].flatMap((isQuantized): readonly Case[] => {
      const topK = (i % 3) + 1;
      const [stride, placeStride] = [isQuantized ? null : width + 2, topK + 1];
      const kernel = gatherRows({ width, stride, topK, placeStride });
      return [0, 1, 4].map((rows) => {
        const places = { places: integers(shuffledPlaces(rows, topK, placeStride)), rows };
        if (stride !== null) {
          return { kernel, label: `${rows} rows`, args: { x: floats(rows * stride), out: unwritten(rows * topK * stride), ...places } };
        }
        const { xq, xd, xs } = quantizedOutput(rows * topK, width);
        const out: Arguments = { out_xq: xq ?? 0, out_xd: xd ?? 0, out_xs: xs ?? 0 };
        return { kernel, label: `${rows} rows`, args: { ...quantized(rows, width, kernel.name), ...out, ...places } };
      });
    }),
  );
}

export function combineExpertsCases(): readonly Case[] {
  return [1, 15, 16, 33, 72].flatMap((width, i) =>
    flavours.flatMap((flavour): readonly Case[] => {
      const topK = (i % 4) + 1;
      const [inputStride, outputStride, routeStride] = [width + 1, width + 2, topK + 2];
      const residualStride = i % 2 === 0 ? width + 3 : null;
      const kernel = combineExperts({ width, topK, inputStride, outputStride, residualStride, routeStride });
      return [0, 1, 4].map((rows) => ({
        kernel,
        label: `${rows} ${flavour} rows`,
        args: {
          y: activationsOf(flavour, rows * topK * inputStride),
          weights: floats(rows * routeStride),
          places: integers(shuffledPlaces(rows, topK, routeStride)),
          ...(residualStride === null ? {} : { residual: activationsOf(flavour, rows * residualStride) }),
          out: unwritten(rows * outputStride),
          rows,
        },
      }));
    }),
  );
}

/** Experts and how many rows each has, as groupRows lists them. */
function groupList(sizes: readonly (readonly [expert: number, rows: number])[]): readonly number[] {
  let first = 0;
  const entries = sizes.map(([expert, rows]) => {
    const entry = [expert, first, first + rows, 0];
    first += rows;
    return entry;
  });
  return [sizes.length, 0, 0, 0, ...entries.flat()];
}

/** The matrix product by expert, on both epilogues: experts of one row, of a tile, of more; none at all. Encodings are gemm's business. */
export function expertProductCases(atoms: readonly DotAtom[]): readonly Case[] {
  const some = multipliers(atoms).filter(({ encoding, atom, tile }) =>
    atom ? isGrouped(encoding) && encoding.weights === "q4_0" && encoding.scales === "f16" : tile.rows === 4,
  );
  return some.flatMap((multiplier, i) => {
    const tile = multiplier.tile.rows;
    const calls = [
      [[2, 1]],
      [
        [0, tile + 1],
        [1, Math.max(1, tile - 1)],
        [4, 2 * tile + (tile >> 2)],
      ],
      [],
    ] as const;
    return calls.map((sizes) => expertProduct(multiplier, sizes, i));
  });
}

function expertProduct(
  { encoding, atom, tile }: Multiplier,
  sizes: readonly (readonly [expert: number, rows: number])[],
  variation: number,
): Case {
  const isGate = variation % 2 === 0;
  const [n, k] = [[17, 20, 33][variation % 3] ?? 17, 66];
  const layout = { encoding, matrices: 5, streams: isGate ? 2 : 1, rows: n, columns: k };
  const stride = roundUp(n, 16) + 16;
  const inputStride = atom ? null : k + 3;
  const epilogue = isGate ? swigluEpilogue({ stride }) : storeEpilogue({ stride, bias: false, residualStride: null });
  const kernel = gemm({ layout, inputStride, tile, atom, byExpert: true, epilogue });
  const rows = sizes.reduce((sum, [, count]) => sum + count, 0);
  const x: Arguments = inputStride === null ? quantized(rows, k, kernel.name) : { x: floats(rows * inputStride) };
  return {
    kernel,
    label: `${sizes.length} experts, ${rows} rows`,
    writesNothing: rows === 0,
    args: {
      ...x,
      weights: matrix(layout),
      tile: unwritten(tileBytes({ layout, tile }) / 4),
      groups: integers(groupList(sizes)),
      out: unwritten(rows * stride),
    },
  };
}
