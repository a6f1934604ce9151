/** What a search varies, free of the sizes that follow from it, and the candidate that comes of it. */
import { roundUp } from "../numeric/quantize.ts";
import type { CacheName, Candidate, Genes, LayerType, QuantName } from "./types.ts";

/** Sizes are ratios, so that a change of the width keeps the rest in proportion. */
export interface Genotype {
  readonly layers: readonly LayerType[];
  /** A multiple of `headSize`. */
  readonly width: number;
  readonly headSize: number;
  /** Heads that share a head of keys and values, as far as they divide the heads. */
  readonly headsPerKey: number;
  readonly convWidth: number;
  /** Of the width. */
  readonly ffnRatio: number;
  /** 0 is a dense feed-forward, for which the three genes below lie idle. */
  readonly experts: number;
  readonly expertsPerToken: number;
  /** Of the width. */
  readonly expertRatio: number;
  readonly denseLayers: number;
  readonly quant: QuantName;
  readonly kv: CacheName;
}

/** Feed-forwards are so many rows wide, or a multiple: whole blocks of every target. */
const widthStep = 64;

/** The candidate of a genotype. */
export function express(genotype: Genotype): Candidate {
  const { layers, width, headSize, headsPerKey, convWidth, ffnRatio, quant, kv } = genotype;
  const heads = width / headSize;
  const genes: Genes = {
    layers,
    width,
    heads,
    kvHeads: heads / largestDivisor(heads, headsPerKey),
    convWidth,
    ffnWidth: stepped(width * ffnRatio),
    experts: expertGenes(genotype),
    quant,
    kv,
  };
  return withId(genes);
}

/** Genes with the id that follows from them. */
export function withId(genes: Genes): Candidate {
  return { id: fnv1a(JSON.stringify(genes)), ...genes };
}

function expertGenes({ layers, width, experts, expertsPerToken, expertRatio, denseLayers }: Genotype): Genes["experts"] {
  if (experts === 0) return null;
  return {
    count: experts,
    perToken: Math.min(expertsPerToken, experts),
    width: stepped(width * expertRatio),
    denseLayers: Math.min(denseLayers, layers.length - 1),
  };
}

function stepped(width: number): number {
  return roundUp(Math.round(width), widthStep);
}

/** The largest divisor of `count` that is at most `limit`. */
function largestDivisor(count: number, limit: number): number {
  let divisor = Math.min(count, limit);
  while (count % divisor !== 0) divisor -= 1;
  return divisor;
}

/** Fowler, Noll and Vo's hash of 32 bits, as 8 hexadecimal digits. */
function fnv1a(text: string): string {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}
