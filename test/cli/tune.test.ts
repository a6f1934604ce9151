/** `lfmc tune` and `lfmc compile --tuned`: what they refuse, and that nothing is written then. How fast anything is, no test says. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { caseFolder } from "../golden/read.ts";
import { workFolder } from "../model/support.ts";
import { json, lfmc, output } from "./support.ts";

const folder = await workFolder();
const tiny = caseFolder("dense-tiny");
const fit = { secondsPerOperation: 1e-10, secondsPerLoad: 1e-11, meanError: 0.1, largestLoss: 0 };
const tile = { rows: 2, unpackedParts: 4, streamedPanels: 2 };
const best = { atom: "relaxed", tile };
const file = {
  ...{ format: "lfmc-tuned", version: 1, lfmc: "0.1.0", engine: "e", cpu: "c", target: "wasm-simd" },
  variants: [{ variant: "relaxed", fit, formats: [{ format: "q4_0", best, timings: [] }] }],
};

/** The file with another best tile. */
function wanting(change: Readonly<Record<string, unknown>>, variant = "relaxed"): unknown {
  return { ...file, variants: [{ variant, fit, formats: [{ format: "q4_0", best: { ...best, ...change }, timings: [] }] }] };
}

const files: Readonly<Record<string, unknown>> = {
  "good.json": file,
  "other.json": { some: "JSON" },
  "future.json": { ...file, version: 2 },
  "for-c.json": { ...file, target: "c" },
  "no-tile.json": wanting({ tile: { ...tile, rows: 0.5 } }),
  "odd-parts.json": wanting({ tile: { ...tile, unpackedParts: 3 } }),
  "one-row.json": wanting({ tile: { ...tile, rows: 1 } }),
  "many-rows.json": wanting({ tile: { ...tile, rows: 4096 } }),
  "many-panels.json": wanting({ tile: { ...tile, streamedPanels: 4096 } }),
  "other-atom.json": wanting({ atom: "amx" }),
  "other-variant.json": wanting({}, "avx2"),
};

beforeAll(async () => {
  await Promise.all(Object.entries(files).map(([name, content]) => writeFile(join(folder, name), JSON.stringify(content))));
  await writeFile(join(folder, "broken.json"), "{");
});

test("--tuned plans the variants and formats that the file covers with its tiles", async () => {
  const args = ["compile", tiny, "--tuned", join(folder, "good.json")];
  const artefact = join(folder, "tuned");
  const made = await json([...args, "-o", artefact, "--emit", "kernels"]);
  expect(await readFile(join(artefact, "kernels.relaxed.txt"), "utf8")).toContain("_relaxed_2x4u_2p_");
  expect(await readFile(join(artefact, "kernels.simd128.txt"), "utf8")).not.toContain("_2x4u_");
  expect((await json([...args, "--dry-run"])).memory).toEqual(made.memory);
  expect(await output([...args, "--dry-run"])).toContain("scratch");
});

describe("is refused, and nothing is written", () => {
  test.each<readonly [name: string, message: RegExp]>([
    ["nowhere.json", /does not exist.*\[io\/missing\]/],
    [".", /cannot be read.*\[io\/unreadable\]/],
    ["broken.json", /is not JSON/],
    ["other.json", /is not a file that lfmc tune wrote/],
    ["future.json", /has version 2; this lfmc reads version 1/],
    ["for-c.json", /was measured for --target c, not wasm-simd/],
    ["no-tile.json", /rows is 0\.5; expected a whole number from 1/],
    ["odd-parts.json", /3 does not divide a panel's 4 parts of relaxed/],
    ["one-row.json", /a single row never meets an unpacked panel/],
    ["many-rows.json", /4096 rows/],
    ["many-panels.json", /4096 panels/],
    ["other-atom.json", /no atom "amx"/],
    ["other-variant.json", /a variant "avx2"/],
  ])("compile --tuned %s", async (name, message) => {
    const before = await readdir(folder);
    const { status, stdout, stderr } = await lfmc(["compile", tiny, "-o", join(folder, "out"), "--tuned", join(folder, name)]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^hint: /m);
    expect(await readdir(folder)).toEqual(before);
  });

  test.each<readonly [args: readonly string[], status: number, message: RegExp]>([
    [["-o", join(folder, "other.json")], 1, /exists and was not written by lfmc tune/],
    [["-o", folder], 1, /exists and was not written by lfmc tune/],
    [["--variant", "avx2", "-o", join(folder, "none.json")], 1, /no variant "avx2".*\n.*simd128/],
    [["--target", "c-mips"], 2, /--target.*wasm-simd/],
    [["MODEL"], 2, /too many arguments/],
  ])("tune %j", async (args, status, message) => {
    const before = await readdir(folder);
    const finished = await lfmc(["tune", ...args]);
    expect({ status: finished.status, stdout: finished.stdout }).toEqual({ status, stdout: "" });
    expect(finished.stderr).toMatch(message);
    expect(await readdir(folder)).toEqual(before);
    expect(JSON.parse(await readFile(join(folder, "other.json"), "utf8"))).toEqual(files["other.json"]);
  });

  test("bench --tuned without --kernels", async () => {
    const { status, stderr } = await lfmc(["bench", tiny, "--tuned", join(folder, "good.json")]);
    expect(status).toBe(2);
    expect(stderr).toMatch(/--tuned/);
  });
});
