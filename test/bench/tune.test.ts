/** `lfmc tune` without a clock: what it makes of measured tables, that its file reads back, and that tuned artefacts compute what others do. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fitWeights } from "../../compiler/bench/fit.ts";
import { chooseTile, fitTiles } from "../../compiler/bench/tile-choice.ts";
import type { TileTiming } from "../../compiler/bench/tile-timings.ts";
import { tuneTarget } from "../../compiler/bench/tune.ts";
import { required } from "../../compiler/errors.ts";
import { compile } from "../../compiler/index.ts";
import { readTunedFile, type TunedFile } from "../../compiler/import/tuned-file.ts";
import { tileName } from "../../compiler/kernel/library/gemm.ts";
import type { TileShape } from "../../compiler/kernel/atom.ts";
import { loadTunedTarget } from "../../compiler/targets.ts";
import { wasmSimd } from "../../targets/wasm/target.ts";
import { caseFolder } from "../golden/read.ts";
import { firstDifference, forwardAll, openModel, someTokens, workFolder } from "../model/support.ts";

const folder = await workFolder();

describe("a fit", () => {
  const observations = fc.array(
    fc.array(fc.double({ min: 1, max: 100, noNaN: true }), { minLength: 3, maxLength: 3 }).map((features) => ({ features })),
    { minLength: 8, maxLength: 20 },
  );
  const weights = fc.array(fc.double({ min: 0.1, max: 10, noNaN: true }), { minLength: 3, maxLength: 3 });

  test("finds the weights that data were made with", () => {
    // Random features are independent but for a set that no draw has hit; two fixed ones make sure of it.
    const fixed = [{ features: [1, 0, 0] }, { features: [0, 1, 0] }, { features: [0, 0, 1] }];
    fc.assert(
      fc.property(observations, weights, (drawn, known) => {
        const data = [...fixed, ...drawn].map(({ features }) => ({
          features,
          value: features.reduce((sum, feature, i) => sum + feature * (known[i] ?? NaN), 0),
        }));
        fitWeights(data).forEach((weight, i) => {
          expect(weight / (known[i] ?? NaN)).toBeCloseTo(1, 6);
        });
      }),
    );
  });

  test("of relative errors lies between two values that no weight explains", () => {
    const [weight = NaN] = fitWeights([
      { features: [1], value: 1 },
      { features: [1], value: 2 },
    ]);
    // Least (w - 1)^2 + (w / 2 - 1)^2.
    expect(weight).toBeCloseTo(1.2, 12);
  });

  test("refuses features that depend on each other", () => {
    const data = [1, 2, 3].map((x) => ({ features: [x, 2 * x], value: x }));
    expect(() => fitWeights(data)).toThrow(/depend on each other/);
    expect(() => fitWeights([{ features: [1, 2], value: 1 }])).toThrow(/depend on each other/);
  });
});

const shapes = [
  { rows: 16, columns: 32 },
  { rows: 16, columns: 64 },
];

/** Timings at both shapes; the second takes twice as long. */
function timed(tile: Partial<TileShape>, rows: number, seconds: number, atom = "a"): readonly TileTiming[] {
  const whole: TileShape = { rows: 1, unpackedParts: null, streamedPanels: null, ...tile };
  return shapes.map((shape, i) => {
    return { atom, tile: whole, shape, rows, seconds: seconds * (i + 1), operations: 100 * seconds * (i + 1), loads: rows + i };
  });
}

describe("of a table, the choice", () => {
  const single = [...timed({}, 1, 4), ...timed({ streamedPanels: 4 }, 1, 2.02), ...timed({ streamedPanels: 16 }, 1, 2)];

  test("is the fastest for many rows, with the fastest way of a single one", () => {
    const table = [...single, ...timed({ rows: 4 }, 64, 30), ...timed({ rows: 2, unpackedParts: 2 }, 64, 20)];
    expect(chooseTile(table)).toEqual({ atom: "a", tile: { rows: 2, unpackedParts: 2, streamedPanels: 4 } });
  });

  test("is the smaller of two that are close", () => {
    const many = [...timed({ rows: 8, unpackedParts: 2 }, 64, 20), ...timed({ rows: 4, unpackedParts: 4 }, 64, 20.3)];
    const table = [...single, ...many, ...timed({ rows: 4, unpackedParts: 2 }, 64, 20.4)];
    expect(chooseTile(table).tile).toEqual({ rows: 4, unpackedParts: 2, streamedPanels: 4 });
  });

  test("takes an atom with its own single rows", () => {
    const other = [...timed({ rows: 16 }, 64, 10, "b"), ...timed({ rows: 16, streamedPanels: 8 }, 1, 3, "b")];
    const table = [...single, ...timed({ rows: 4 }, 64, 20), ...other];
    expect(chooseTile(table)).toEqual({ atom: "b", tile: { rows: 16, unpackedParts: null, streamedPanels: 8 } });
  });

  test("its fit tells what it misses", () => {
    const exact = [...timed({ rows: 2 }, 64, 30), ...timed({ rows: 4 }, 64, 20)];
    expect(fitTiles([exact]).meanError).toBeCloseTo(0, 9);
    expect(fitTiles([exact]).secondsPerOperation).toBeCloseTo(0.01, 9);
    expect(fitTiles([exact]).largestLoss).toBe(0);
    const surprising = exact.map((timing) => (timing.tile.rows === 4 ? { ...timing, seconds: 2 * timing.seconds } : timing));
    expect(fitTiles([surprising]).largestLoss).toBeCloseTo(1 / 3, 9);
  });
});

const tiny = { shapes: [{ rows: 40, columns: 70 }], weightBytes: 65536, warmSeconds: 0, seconds: 0 };

test("a tuned target has the best tiles of what was measured, and the file reads back", async () => {
  const path = join(folder, "measured.json");
  const stages: (string | null)[] = [];
  const tuned = await tuneTarget(wasmSimd, "simd128", (stage) => stages.push(stage), tiny);
  await writeFile(path, JSON.stringify(tuned));
  expect(await readTunedFile(path)).toEqual(tuned);
  expect(stages).toEqual(["measuring tiles, simd128, q4_0", "measuring tiles, simd128, q8_0", null]);
  expect(tuned).toMatchObject({
    target: "wasm-simd",
    variants: [{ variant: "simd128", formats: [{ format: "q4_0" }, { format: "q8_0" }] }],
  });
  const target = await loadTunedTarget("wasm-simd", path);
  const best = required(tuned.variants[0]?.formats[1], "format").best;
  for (const { name, atoms } of target.variants) {
    const [first] = required(atoms[0], "atom").tiles.bytes;
    const own = wasmSimd.variants.find((variant) => variant.name === name)?.atoms[0]?.tiles.bytes[0];
    expect(first).toEqual(name === "simd128" ? best.tile : own);
  }
  for (const timing of tuned.variants.flatMap(({ formats }) => formats.flatMap(({ timings }) => timings))) {
    expect(timing.seconds).toBeGreaterThan(0);
    expect(timing.operations).toBeGreaterThan(0);
  }
});

/** A file that wants one tile for both formats of both variants. */
async function writeTuned(tile: TileShape): Promise<string> {
  const fit = { secondsPerOperation: 0, secondsPerLoad: 0, meanError: 0, largestLoss: 0 };
  const variants = ["simd128", "relaxed"].map((variant) => {
    const formats = (["q4_0", "q8_0"] as const).map((format) => ({ format, best: { atom: variant, tile }, timings: [] }));
    return { variant, fit, formats };
  });
  const file: TunedFile = { format: "lfmc-tuned", version: 1, lfmc: "", engine: "", cpu: "", target: "wasm-simd", variants };
  const path = join(folder, `${tileName(tile)}.json`);
  await writeFile(path, JSON.stringify(file));
  return path;
}

test("tuned artefacts compute what others do, in the memory that their plan says", async () => {
  const options = { model: caseFolder("moe-bias"), target: "wasm-simd", prefillChunk: 23 } as const;
  const tokens = someTokens(60, 256);
  const logitsOf = async (artefact: string) => forwardAll(await openModel(artefact), tokens);
  const plain = join(folder, "plain");
  await compile({ ...options, output: plain });
  const expected = await logitsOf(plain);
  const tiles: readonly TileShape[] = [
    { rows: 8, unpackedParts: null, streamedPanels: null },
    { rows: 16, unpackedParts: 1, streamedPanels: 16 },
  ];
  for (const tile of tiles) {
    const output = join(folder, tileName(tile));
    const tuned = await writeTuned(tile);
    const made = await compile({ ...options, output, tuned, emit: ["kernels"] });
    expect(firstDifference(await logitsOf(output), expected)).toBeNull();
    expect((await compile({ ...options, tuned, dryRun: true })).memory).toEqual(made.memory);
    expect(await readFile(join(output, "kernels.relaxed.txt"), "utf8")).toContain(`_relaxed_${tileName(tile)}_`);
  }
});

test("a call that cannot fill the tuned tile goes in the target's own", async () => {
  const tuned = await writeTuned({ rows: 16, unpackedParts: 1, streamedPanels: 2 });
  const { programs } = await compile({ model: caseFolder("dense-tiny"), target: "wasm-simd", prefillChunk: 8, tuned, dryRun: true });
  const names = programs
    .flatMap(({ program }) => program.kernels.map(({ name }) => name))
    .filter((name) => /_(simd128|relaxed)_/.test(name));
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) expect(name).toContain("_4x2u_4p_");
});
