/**
 * Scratch memory: tenants with lifetimes share one arena. Greedy by size (Pisarchyk and Lee, 2020): the largest first, each at the
 * lowest offset where no tenant alive at the same time is in the way.
 */
import { roundUp } from "../numeric/quantize.ts";
import type { Placement } from "./program.ts";

export interface Tenant {
  readonly name: string;
  readonly bytes: number;
  readonly firstStep: number;
  readonly lastStep: number;
}

/** Every buffer starts on a cache line. */
export const alignment = 64;

/** Offsets from 0 for all tenants, and the arena's size. */
export function placeTenants(tenants: readonly Tenant[]): { readonly placements: readonly Placement[]; readonly bytes: number } {
  const placed: Placement[] = [];
  const bySize = tenants.toSorted((a, b) => b.bytes - a.bytes || a.firstStep - b.firstStep);
  for (const tenant of bySize) {
    const bytes = roundUp(tenant.bytes, alignment);
    const inTheWay = placed
      .filter((other) => other.firstStep <= tenant.lastStep && tenant.firstStep <= other.lastStep)
      .toSorted((a, b) => a.offset - b.offset);
    let offset = 0;
    for (const other of inTheWay) {
      if (other.offset - offset >= bytes) break;
      offset = Math.max(offset, other.offset + other.bytes);
    }
    placed.push({ ...tenant, offset, bytes });
  }
  return {
    placements: placed.toSorted((a, b) => a.firstStep - b.firstStep || a.offset - b.offset),
    bytes: placed.reduce((most, { offset, bytes }) => Math.max(most, offset + bytes), 0),
  };
}
