/**
 * Runs cases through the kernel interpreter and through a target's code and compares the memories byte for byte, canaries included.
 */

import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { interpretKernel } from "../../compiler/kernel/interpret.ts";
import type { Kernel } from "../../compiler/kernel/ir.ts";
import { verifyKernel } from "../../compiler/kernel/verify.ts";
import { caseName, type Case } from "./case.ts";
import { describePlace, fillImage, imageBytes, placeRegions, type Image } from "./image.ts";
import { seededBy } from "./random.ts";
import type { Built, BuildOptions, ConformanceTarget } from "./targets.ts";

/** The case's image before it runs. */
export function prepareCase(each: Case): Image {
  return fillImage(placeRegions(each.kernel, each.args), each.args, seededBy(caseName(each)));
}

/** Bytes of memory that every case fits in. */
export function memoryBytesOf(cases: readonly Case[]): number {
  return cases.reduce((most, { kernel, args }) => Math.max(most, imageBytes(placeRegions(kernel, args))), 0);
}

/** The image as the interpreter leaves it. Throws where the kernel reads or writes outside of its regions. */
export function interpreted({ kernel, args }: Case, before: Image): Uint8Array {
  const bytes = before.bytes.slice();
  interpretKernel(
    kernel,
    kernel.parameters.map(({ name }) => {
      const region = before.regions.find((each) => each.name === name);
      return region ? { bytes: bytes.subarray(region.offset, region.offset + region.bytes) } : scalarOf(args[name], name);
    }),
  );
  return bytes;
}

/** The image as the target's code leaves it; the memory behind the image must stay as it is. */
export function emitted({ kernel, args }: Case, before: Image, built: Built): Uint8Array {
  built.memory.fill(0);
  built.memory.set(before.bytes);
  built.call(
    kernel.name,
    kernel.parameters.map(({ name }) => before.regions.find((each) => each.name === name)?.offset ?? scalarOf(args[name], name)),
  );
  const behind = built.memory.subarray(before.bytes.length);
  if (Buffer.compare(behind, new Uint8Array(behind.length)) !== 0) throw new Error(`${kernel.name} wrote behind the image`);
  return built.memory.slice(0, before.bytes.length);
}

function scalarOf(argument: Case["args"][string] | undefined, name: string): number {
  if (typeof argument !== "number") throw new Error(`no number for ${name}`);
  return argument;
}

/** How two images differ first, or undefined. */
export function difference({ regions }: Image, expected: Uint8Array, actual: Uint8Array): string | undefined {
  if (Buffer.compare(expected, actual) === 0) return undefined;
  const at = expected.findIndex((byte, i) => byte !== actual[i]);
  const total = expected.reduce((sum, byte, i) => sum + (byte === actual[i] ? 0 : 1), 0);
  const word = (image: Uint8Array): string => Buffer.from(image.subarray(at & ~3, (at & ~3) + 4)).toString("hex");
  return `${total} bytes differ, the first at ${describePlace(regions, at)}: ${word(expected)} expected, ${word(actual)} found`;
}

/** Bytes of memory up to which cases share a build: every call passes the whole memory to its program and back. */
const littleMemory = 1 << 16;

/** The kernels of many cases, built for a target when they are first needed, in as few builds as keep memories small: a compiler's start takes time. */
export interface Builds {
  /** Runs some of the cases; returns the differences, each with its case. Also what no target may assume otherwise. */
  readonly faultsOf: (cases: readonly Case[]) => Promise<readonly string[]>;
  readonly close: () => Promise<void>;
}

export function createBuilds(target: ConformanceTarget, cases: readonly Case[], options: Omit<BuildOptions, "memoryBytes">): Builds {
  const large = new Set(cases.filter((each) => memoryBytesOf([each]) > littleMemory).map(({ kernel }) => kernel.name));
  const started = new Map<boolean, Promise<Built>>();
  const build = async (isLarge: boolean): Promise<Built> => {
    const own = cases.filter(({ kernel }) => large.has(kernel.name) === isLarge);
    const kernels = kernelsOf(own);
    for (const kernel of kernels) verifyKernel(kernel);
    return await target.build(kernels, { ...options, memoryBytes: memoryBytesOf(own) });
  };
  return {
    faultsOf: async (some) => {
      const faults: string[] = [];
      for (const each of some) {
        const isLarge = large.has(each.kernel.name);
        const building = started.get(isLarge) ?? build(isLarge);
        started.set(isLarge, building);
        const fault = faultOf(each, await building);
        if (fault !== undefined) faults.push(`${caseName(each)}: ${fault}`);
      }
      return faults;
    },
    close: async () => {
      for (const built of await Promise.allSettled(started.values())) if (built.status === "fulfilled") built.value.close?.();
    },
  };
}

/** Digests of the bytes that cases leave when interpreted, by name: targets share most kernels, and interpreting takes the time. */
const digests = new Map<string, string>();

function faultOf(each: Case, built: Built): string | undefined {
  const before = prepareCase(each);
  if (digests.get(caseName(each)) === digestOf(emitted(each, before, built))) return undefined;
  const expected = interpreted(each, before);
  const isIdle = each.writesNothing ?? each.args.rows === 0;
  if (isIdle !== (Buffer.compare(expected, before.bytes) === 0)) return isIdle ? "writes what it should not" : "the case computes nothing";
  digests.set(caseName(each), digestOf(expected));
  return difference(before, expected, emitted(each, before, built));
}

function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("base64");
}

/** Each kernel once. Two kernels of one name must compute the same: modules hold kernels by name. */
export function kernelsOf(cases: readonly Case[]): readonly Kernel[] {
  const kernels = new Map<string, Kernel>();
  for (const { kernel } of cases) {
    const known = kernels.get(kernel.name);
    if (known && !isDeepStrictEqual(known.body, kernel.body)) throw new Error(`two kernels are called ${kernel.name}`);
    kernels.set(kernel.name, known ?? kernel);
  }
  return [...kernels.values()];
}
