/** One case of conformance: a kernel and the memory that it is called on. */

import type { Kernel } from "../../compiler/kernel/ir.ts";
import type { Arguments } from "./image.ts";

export interface Case {
  readonly kernel: Kernel;
  /** What is awkward about it; with the kernel's name it seeds the data. */
  readonly label: string;
  readonly args: Arguments;
  /** Set where the call must leave the memory as it is; every other call must change it, unless it has no rows. */
  readonly writesNothing?: boolean;
}

/** Names a case in messages and seeds its data. */
export function caseName({ kernel, label }: Case): string {
  return `${kernel.name} (${label})`;
}

/** Each of the numbers once, the negative ones left out. */
export function counts(...numbers: readonly number[]): readonly number[] {
  return [...new Set(numbers)].filter((n) => n >= 0);
}
