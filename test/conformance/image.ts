/**
 * One memory image for a kernel call: every region at its own place, canary bytes around and in all of them, then what the regions are
 * filled with. Whatever a kernel writes beside its regions hits a canary, because images are compared as a whole.
 */

import type { Kernel } from "../../compiler/kernel/ir.ts";
import type { Random } from "./random.ts";

/** Writes a region's first content; `region` is exactly the region. */
export type Fill = (region: DataView, random: Random) => void;

/** Memory behind a pointer parameter; without `fill` it holds canaries. */
export interface RegionSpec {
  readonly bytes: number;
  readonly fill?: Fill;
}

/** Arguments by parameter name: memory, or an i32. */
export type Arguments = Readonly<Record<string, RegionSpec | number>>;

export interface Region {
  readonly name: string;
  readonly offset: number;
  readonly bytes: number;
}

export interface Image {
  readonly bytes: Uint8Array;
  readonly regions: readonly Region[];
}

/** As f32 or f16 a finite number, so that reading a canary by mistake is no NaN that hides the fault. */
export const canary = 0xa5;
/** Canaries before, between and after the regions, at least. */
const margin = 128;
const alignment = 64;

/** Places for the kernel's pointer parameters, in their order. */
export function placeRegions(kernel: Kernel, args: Arguments): readonly Region[] {
  let end = margin;
  return kernel.parameters.flatMap(({ name, access }) => {
    if (access === "scalar") return [];
    const spec = args[name];
    if (typeof spec !== "object") throw new Error(`${kernel.name}: no region for ${name}`);
    const offset = Math.ceil(end / alignment) * alignment;
    end = offset + spec.bytes + margin;
    return [{ name, offset, bytes: spec.bytes }];
  });
}

/** Bytes that an image of these regions takes, margins included. */
export function imageBytes(regions: readonly Region[]): number {
  return regions.reduce((most, { offset, bytes }) => Math.max(most, offset + bytes), 0) + margin;
}

/** The image of a call before it runs. */
export function fillImage(regions: readonly Region[], args: Arguments, random: Random): Image {
  const bytes = new Uint8Array(imageBytes(regions)).fill(canary);
  for (const { name, offset, bytes: length } of regions) {
    const spec = args[name];
    if (typeof spec === "object") spec.fill?.(new DataView(bytes.buffer, offset, length), random);
  }
  return { bytes, regions };
}

/** Names the place of an image's byte: `out + 12`, or `canary 4 bytes behind out`. */
export function describePlace(regions: readonly Region[], byte: number): string {
  const region = regions.findLast(({ offset }) => offset <= byte);
  if (!region) return `canary at byte ${byte}`;
  const inside = byte - region.offset;
  return inside < region.bytes ? `${region.name} + ${inside}` : `canary ${inside - region.bytes} bytes behind ${region.name}`;
}
