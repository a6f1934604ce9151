/**
 * The tests that one promise makes: the same logits, bit for bit, from the interpreter, WebAssembly and every C unit that runs here; for every
 * encoding of weights and cache, and under sanitizers. `npm test` holds every case to some builds, and every build to some cases; test/long all to all.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  buildProject,
  caseName,
  createModules,
  createProject,
  interpretedDigest,
  moduleDigest,
  programDigest,
  type BitsCase,
  type ModuleRun,
} from "./logits.ts";
import { obstacle, toolchains, units, type Toolchain } from "./toolchains.ts";

interface Build {
  readonly toolchain: Toolchain;
  readonly flags: readonly string[];
  readonly threads: readonly number[];
}

const { gcc, clang, armGcc, armClang } = toolchains;

const builds = {
  gcc: { toolchain: gcc, flags: ["-O2"], threads: [1, 2] },
  clang: { toolchain: clang, flags: ["-O2"], threads: [1, 2] },
  /** The cheapest: gcc takes four times as long for portable code. */
  quick: { toolchain: clang, flags: ["-O1"], threads: [1, 2] },
  armGcc: { toolchain: armGcc, flags: ["-O2"], threads: [1, 2] },
  armClang: { toolchain: armClang, flags: ["-O3"], threads: [1] },
  armQuick: { toolchain: armClang, flags: ["-O1"], threads: [2] },
  /** Without optimisation: it takes a tenth of the time to build, and nothing that a sanitizer looks for has been optimised away. */
  addresses: { toolchain: clang, flags: ["-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"], threads: [1, 2] },
  races: { toolchain: clang, flags: ["-O0", "-g", "-fsanitize=thread"], threads: [3] },
} as const satisfies Record<string, Build>;

type BuildName = keyof typeof builds;
const buildNames = [
  "gcc",
  "clang",
  "quick",
  "armGcc",
  "armClang",
  "armQuick",
  "addresses",
  "races",
] as const satisfies readonly BuildName[];

const moduleRuns: readonly ModuleRun[] = [
  { variant: "simd128", threads: 3 },
  { variant: "relaxed", threads: 1 },
];

/** Every case, with the builds that are enough: what is slow to build meets what is odd, and x86 and ARM share the encodings. */
const cases: readonly { readonly each: BitsCase; readonly enough: readonly BuildName[] }[] = [
  { each: { model: "dense-odd", quant: "q4_0" }, enough: ["gcc"] },
  { each: { model: "dense-extra", quant: "q8_0" }, enough: ["clang"] },
  { each: { model: "dense-tiny", quant: "f16", kv: "q8_0" }, enough: ["armGcc"] },
  { each: { model: "dense-tiny", quant: "f32" }, enough: ["quick"] },
  { each: { model: "dense-odd", quant: "q8_0", activations: "f32", kv: "f16" }, enough: [] },
  { each: { model: "moe-bias", quant: "q4_0" }, enough: ["quick", "armQuick", "addresses", "races"] },
  { each: { model: "moe-cold", quant: "f32" }, enough: [] },
  { each: { model: "moe-plain", quant: "q8_0", activations: "f32" }, enough: ["armQuick"] },
  { each: { model: "dense-tiny", quant: "q4_0", tensorTypes: ["*.w2.*=q8_0", "*.self_attn.*=f16"], kv: "q8_0" }, enough: [] },
  { each: { model: "dense-odd", quant: "q3_0", tensorTypes: ["*.w2.*=q4_1"] }, enough: ["quick"] },
  { each: { model: "moe-plain", quant: "q4_1", tensorTypes: ["*.w2.*=q3_0"], activations: "f32" }, enough: [] },
];

/** Declares the tests, which work in `folder`: of all builds, or of those that are enough. */
export function declareBits(folder: string, extent: "all" | "enough"): void {
  for (const [i, { each, enough }] of cases.entries()) {
    const place = join(folder, String(i));
    describe(caseName(each), () => {
      const expected = interpretedDigest(each);

      test("WebAssembly", async () => {
        await mkdir(place, { recursive: true });
        const artefact = await createModules(each, join(place, "wasm"));
        for (const run of moduleRuns) expect(await moduleDigest(artefact, run), JSON.stringify(run)).toBe(await expected);
      });

      for (const name of extent === "all" ? buildNames : enough) declareBuild({ each, build: builds[name], expected, place });
    });
  }
}

interface Work {
  readonly each: BitsCase;
  readonly build: Build;
  readonly expected: Promise<string>;
  readonly place: string;
}

/** Tests of every unit of a case, by one build. */
function declareBuild({ each, build: { toolchain, flags, threads }, expected, place }: Work): void {
  const title = `${toolchain.target}, ${toolchain.name} ${flags.join(" ")}`;
  describe(title, () => {
    const own = units.filter(({ target }) => target === toolchain.target);
    const build = async () => {
      await mkdir(place, { recursive: true });
      const project = await createProject(each, toolchain.target, join(place, title.replace(/[^a-z0-9]+/gi, "-")));
      return { project, program: await buildProject(project, toolchain, flags) };
    };
    let built: ReturnType<typeof build> | undefined;

    test.for(own)("$variant", { timeout: 180_000 }, async (unit, context) => {
      const reason = obstacle(unit, toolchain);
      if (reason !== null) return context.skip(reason);
      built ??= build();
      const { project, program } = await built;
      for (const count of threads) {
        expect(await programDigest(program, project, toolchain, unit, count), `${count} threads`).toBe(await expected);
      }
    });
  });
}
