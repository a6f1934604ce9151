/**
 * Compiler flags that would change bits: real units built with each are refused by the compiler, or refuse to run, or leave the bits as they are.
 * Which of the three is the compiler's affair; that there is no fourth is the contract. `npm test` leaves most of them to test/long.
 */
import { join } from "node:path";
import { expect, test } from "vitest";
import { buildProject, createProject, interpretedDigest, programDigest, type BitsCase } from "./logits.ts";
import { obstacle, toolchains, units, type Toolchain } from "./toolchains.ts";

type Outcome = "does not compile" | "refuses to run" | "same bits";

// Kernels of one row hold every kind of arithmetic, and take half the time to build.
const each: BitsCase = { model: "dense-tiny", quant: "q4_0", prefillChunk: 1 };
const expected = interpretedDigest(each);
const { gcc, clang } = toolchains;
const own = units.filter(({ target }) => target === "c-x86");
const projects = new Map<Toolchain, ReturnType<typeof createProject>>();

interface Guard {
  readonly toolchain: Toolchain;
  readonly flags: readonly string[];
  readonly allowed: readonly Outcome[];
}

/** What `npm test` asks for. */
const enough: readonly Guard[] = [
  { toolchain: gcc, flags: ["-ffast-math"], allowed: ["does not compile"] },
  { toolchain: clang, flags: ["-ffast-math"], allowed: ["does not compile"] },
  { toolchain: clang, flags: ["-ffp-contract=fast", "-mfma"], allowed: ["refuses to run"] },
];

const others: readonly Guard[] = [
  { toolchain: clang, flags: ["-march=native"], allowed: ["same bits"] },
  { toolchain: gcc, flags: ["-ffp-contract=fast", "-mfma"], allowed: ["refuses to run", "same bits"] },
  { toolchain: gcc, flags: ["-funsafe-math-optimizations"], allowed: ["does not compile", "refuses to run"] },
  {
    toolchain: gcc,
    flags: ["-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math"],
    allowed: ["does not compile", "refuses to run", "same bits"],
  },
  { toolchain: gcc, flags: ["-freciprocal-math"], allowed: ["does not compile", "refuses to run", "same bits"] },
  { toolchain: gcc, flags: ["-march=native"], allowed: ["same bits"] },
];

/** What becomes of each variant that this machine runs. */
async function outcomes(folder: string, toolchain: Toolchain, flags: readonly string[]): Promise<ReadonlySet<Outcome | "other bits">> {
  const project = await (projects.get(toolchain) ??
    projects.set(toolchain, createProject(each, "c-x86", join(folder, toolchain.name))).get(toolchain));
  if (!project) throw new Error("no project");
  const program = await buildProject(project, toolchain, ["-O1", ...flags]).catch((error: unknown) => {
    if (!String(error).includes("needs ")) throw error;
    return null;
  });
  if (program === null) return new Set<Outcome>(["does not compile"]);
  const found = new Set<Outcome | "other bits">();
  for (const unit of own.filter((candidate) => obstacle(candidate, toolchain) === null)) {
    const digest = await programDigest(program, project, toolchain, unit, 1).catch((error: unknown) => {
      if (!/arithmetic/i.test(String(error))) throw error;
      return null;
    });
    found.add(digest === null ? "refuses to run" : digest === (await expected) ? "same bits" : "other bits");
  }
  return found;
}

/** Declares the tests, which work in `folder`: of all flags, or of those that are enough. */
export function declareGuards(folder: string, extent: "all" | "enough"): void {
  const guards = extent === "all" ? [...enough, ...others] : enough;
  test.for(guards)("$toolchain.name $flags", { timeout: 120_000 }, async ({ toolchain, flags, allowed }, context) => {
    const reason = obstacle({ needs: [], target: "c-x86", cpu: "" }, toolchain);
    if (reason !== null) return context.skip(reason);
    const found = await outcomes(folder, toolchain, flags);
    expect([...found].filter((outcome) => !allowed.some((fine) => fine === outcome))).toEqual([]);
  });
}
