/** What `lfmc explore` refuses before it builds anything, and results that were edited. */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { exploreCommand } from "../../compiler/commands/explore.ts";
import { defaultBase } from "../../compiler/explore/candidate-config.ts";
import { withId } from "../../compiler/explore/genes.ts";
import { parseResults, readResults } from "../../compiler/explore/results-file.ts";
import type { Point, Results } from "../../compiler/explore/types.ts";
import { workFolder } from "../model/support.ts";
import { fakeSites } from "./fake-laboratory.ts";

const folder = await workFolder();
const out = join(folder, "out");
const budget = ["--max-decode-ms", "3"];

async function file(name: string, json: unknown): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, JSON.stringify(json));
  return path;
}

async function explore(args: readonly string[]): Promise<void> {
  await exploreCommand()
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .parseAsync(args, { from: "user" });
}

const candidate = withId({
  layers: ["conv", "full_attention"],
  width: 64,
  heads: 1,
  kvHeads: 1,
  convWidth: 3,
  ffnWidth: 128,
  experts: null,
  quant: "q4_0",
  kv: "f16",
});

const sitePoint = { planned: { refused: "no" }, predicted: null, measured: { refused: "no" }, confirmed: null, exceeded: [] } as const;
const point: Point = {
  candidate,
  parameters: 1,
  activeParameters: 1,
  quality: 1,
  qualitySource: "capacity",
  qualityFault: null,
  sites: [sitePoint, sitePoint],
  commands: ["", ""],
};

const results: Results = {
  format: "lfmc-explore",
  version: 1,
  lfmc: "0",
  command: "lfmc explore",
  seed: 0,
  budgets: { decodeMs: 1, prefillMs: null, memoryBytes: null, parameters: null, margin: 0.1 },
  work: { context: 64, prompt: 8, threads: 1 },
  sites: fakeSites,
  space: { width: [64] },
  base: defaultBase,
  evaluate: null,
  screened: 1,
  rounds: 1,
  endedBy: "measurements",
  points: [point],
  fronts: [[candidate.id], []],
  predictedFronts: [[], []],
  models: [[], []],
  refusals: [],
};

describe("refused", () => {
  test("without a folder, without a budget, with a prompt that is longer than the context", async () => {
    await expect(explore(budget)).rejects.toMatchObject({ code: "usage/flag", subject: "-o" });
    await expect(explore(["-o", out])).rejects.toMatchObject({ code: "usage/flag", message: /give at least one of them/ });
    const long = explore(["-o", out, ...budget, "--context", "64", "--prompt", "65"]);
    await expect(long).rejects.toMatchObject({ code: "usage/flag", subject: "--prompt" });
  });

  test.each([
    ["--max-parameters", "10X"],
    ["--max-memory", "-1"],
    ["--targets", "gpu"],
    ["--quant", "keep"],
    ["--margin", "-1"],
    ["--seed", "1.5"],
  ])("%s %s", async (flag, value) => {
    await expect(explore(["-o", out, ...budget, flag, value])).rejects.toMatchObject({ code: "commander.invalidArgument" });
  });

  test("a vocabulary without room for the special tokens", async () => {
    await expect(explore(["-o", out, ...budget, "--vocab", "7"])).rejects.toMatchObject({ code: "usage/flag", subject: "--vocab" });
  });

  test("a base, a space and results that are not there or not what they should be", async () => {
    const nowhere = join(folder, "nowhere.json");
    for (const args of [[nowhere], ["--space", nowhere], ["--replay", nowhere], ["--again", nowhere]])
      await expect(explore([...args, "-o", out, ...budget])).rejects.toMatchObject({ code: "io/missing", subject: nowhere });
    const wrong = await file("wrong.json", { model_type: "bert" });
    await expect(explore([wrong, "-o", out, ...budget])).rejects.toMatchObject({ code: "config/unsupported" });
    for (const args of [
      ["--space", wrong],
      ["--replay", wrong],
      ["--again", wrong],
    ])
      await expect(explore([...args, "-o", out, ...budget])).rejects.toMatchObject({ code: "config/invalid", subject: wrong });
  });

  test("to replace a folder that no search has written; it stays as it is", async () => {
    const own = join(folder, "own");
    await mkdir(own, { recursive: true });
    await writeFile(join(own, "thesis.txt"), "x");
    const replay = await file("results.json", results);
    await expect(explore(["-o", own, ...budget, "--replay", replay])).rejects.toMatchObject({ code: "io/exists" });
    expect(await readdir(own)).toEqual(["thesis.txt"]);
  });

  test("to replay another search; nothing is left behind", async () => {
    const replay = await file("results.json", results);
    const args = ["-o", out, ...budget, "--replay", replay, "--context", "64", "--prompt", "8", "--vocab", "512"];
    await expect(explore(args)).rejects.toMatchObject({ code: "run/input", subject: replay });
    expect((await readdir(folder)).filter((name) => name.includes("out"))).toEqual([]);
  });
});

describe("results.json", () => {
  test("is read from the file or its folder", async () => {
    const path = await file("results.json", results);
    expect(await readResults(path)).toEqual(results);
    expect(await readResults(folder)).toEqual(results);
  });

  test.each<readonly [what: string, edited: unknown, message: RegExp]>([
    ["another format", { ...results, format: "other" }, /format is "other"/],
    [
      "a candidate that was changed",
      { ...results, points: [{ ...point, candidate: { ...candidate, width: 128 } }] },
      /whose id is that of its sizes/,
    ],
    [
      "an id that is a path",
      { ...results, points: [{ ...point, candidate: { ...candidate, id: "../../x" } }] },
      /whose id is that of its sizes/,
    ],
    ["a front of others", { ...results, fronts: [["00000000"], []] }, /none of its points/],
    ["a site less", { ...results, sites: fakeSites.slice(1) }, /for each of its sites/],
    ["a key more", { ...results, date: "today" }, /date/],
    ["a list", [], /expected/],
  ])("with %s is refused", (_, edited, message) => {
    expect(() => parseResults(edited, "results.json")).toThrow(message);
  });
});
