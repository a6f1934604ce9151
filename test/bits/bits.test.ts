/**
 * The short form of `npm run bits`: the same logits, bit for bit, from the interpreter, WebAssembly and every C unit that runs here; for every
 * encoding of weights and cache, and under sanitizers.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { workFolder } from "../model/support.ts";
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

const folder = await workFolder();

interface Build {
  readonly toolchain: Toolchain;
  readonly flags: readonly string[];
  readonly threads: readonly number[];
}

const { gcc, clang, armGcc, armClang } = toolchains;
/** Much and little optimisation: the long form has all combinations. */
const all: readonly Build[] = [
  { toolchain: gcc, flags: ["-O2"], threads: [1, 2] },
  { toolchain: clang, flags: ["-O2"], threads: [1, 2] },
  { toolchain: armGcc, flags: ["-O2"], threads: [1, 2] },
  { toolchain: armClang, flags: ["-O3"], threads: [1] },
];
/** Without optimisation: it takes a tenth of the time to build, and nothing that a sanitizer looks for has been optimised away. */
const sanitized: readonly Build[] = [
  { toolchain: clang, flags: ["-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"], threads: [1, 2] },
  { toolchain: clang, flags: ["-O0", "-g", "-fsanitize=thread"], threads: [3] },
];
/** The cheapest to build, of models whose encodings and layers are what matters: gcc takes four times as long for portable code. */
const little: readonly Build[] = [
  { toolchain: clang, flags: ["-O1"], threads: [1, 2] },
  { toolchain: armGcc, flags: ["-O1"], threads: [2] },
];
const oneEach: readonly Build[] = [
  { toolchain: clang, flags: ["-O1"], threads: [2] },
  { toolchain: armGcc, flags: ["-O1"], threads: [1] },
];

const moduleRuns: readonly ModuleRun[] = [
  { variant: "simd128", threads: 3 },
  { variant: "relaxed", threads: 1 },
];

const cases: readonly { readonly each: BitsCase; readonly builds: readonly Build[] }[] = [
  { each: { model: "dense-odd", quant: "q4_0" }, builds: [...all, ...sanitized] },
  { each: { model: "dense-extra", quant: "q8_0" }, builds: little },
  { each: { model: "dense-tiny", quant: "f16", kv: "q8_0" }, builds: oneEach },
  { each: { model: "dense-odd", quant: "q8_0", activations: "f32", kv: "f16" }, builds: oneEach },
  { each: { model: "moe-bias", quant: "q4_0" }, builds: [...little, ...sanitized] },
  { each: { model: "moe-cold", quant: "f32" }, builds: oneEach },
  { each: { model: "moe-plain", quant: "q8_0", activations: "f32" }, builds: oneEach.slice(0, 1) },
  { each: { model: "dense-tiny", quant: "q4_0", tensorTypes: ["*.w2.*=q8_0", "*.self_attn.*=f16"], kv: "q8_0" }, builds: oneEach },
];

describe.each(cases.map((row, i) => ({ ...row, name: caseName(row.each), place: join(folder, String(i)) })))(
  "$name",
  ({ each, builds, place }) => {
    const expected = interpretedDigest(each);

    test("WebAssembly", async () => {
      await mkdir(place, { recursive: true });
      const artefact = await createModules(each, join(place, "wasm"));
      for (const run of moduleRuns) expect(await moduleDigest(artefact, run), JSON.stringify(run)).toBe(await expected);
    });

    for (const [i, { toolchain, flags, threads }] of builds.entries()) {
      describe(`${toolchain.target}, ${toolchain.name} ${flags.join(" ")}`, () => {
        const own = units.filter(({ target }) => target === toolchain.target);
        const build = async () => {
          await mkdir(place, { recursive: true });
          const project = await createProject(each, toolchain.target, join(place, String(i)));
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
  },
);
