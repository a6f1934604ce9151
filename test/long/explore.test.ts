/** `lfmc explore` as a user has it: a search of small shapes on this machine, the same from its measurements, and its front measured again. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readResults } from "../../compiler/explore/results-file.ts";
import { lfmc, output } from "../cli/support.ts";
import { workFolder } from "../model/support.ts";

const folder = await workFolder();

test("a search finds a front that keeps its budgets, whose configs compile as it says; a replay gives the same bytes", async () => {
  const space = join(folder, "space.json");
  await writeFile(space, JSON.stringify({ layers: [4, 5], width: [64, 128], experts: [0, 4], quant: ["q4_0"] }));
  const request = ["--max-decode-ms", "1000", "--context", "256", "--prompt", "32", "--vocab", "512", "--space", space, "--measure", "4"];
  const first = join(folder, "first");
  expect(await output(["explore", "-o", first, ...request, "--targets", "wasm-simd"])).toContain("4 candidates measured");

  const results = await readResults(first);
  const front = results.fronts[0] ?? [];
  expect(front.length).toBeGreaterThan(0);
  for (const id of front) {
    const point = results.points.find(({ candidate }) => candidate.id === id);
    const site = point?.sites[0];
    for (const outcome of [site?.measured, site?.confirmed]) expect(outcome).toHaveProperty("memoryBytes");
    expect(site?.exceeded).toEqual([]);
    // The command's words, and the folder of the results in which it is to be run.
    const [, ...words] = (point?.commands[0] ?? "").split(" ");
    const paths = words.map((word) => (word.startsWith("configs/") ? join(first, word) : word.startsWith(id) ? join(folder, word) : word));
    await output(paths);
  }

  const second = join(folder, "second");
  await output(["explore", "-o", second, ...request, "--targets", "wasm-simd", "--replay", first]);
  const names = await readdir(first, { recursive: true });
  expect(await readdir(second, { recursive: true })).toEqual(names);
  for (const name of ["results.json", "report.html"])
    expect(await readFile(join(second, name), "utf8"), name).toBe(await readFile(join(first, name), "utf8"));

  expect(await output(["explore", "--again", first])).toContain("every point keeps its budgets");
  const tight = { ...results, budgets: { ...results.budgets, decodeMs: 1e-6 } };
  await writeFile(join(second, "results.json"), JSON.stringify(tight));
  const broken = await lfmc(["explore", "--again", second]);
  expect(broken.status).toBe(1);
  expect(broken.stdout).toContain("broken: max-decode-ms");
});
