/** A sample of every fuzz target, the same on every machine, and every input that ever broke a bound. `npm run fuzz` has the rest. */
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { caseOf, compileCase, runCase } from "./run-case.ts";
import { targets } from "./targets.ts";

const folder = await mkdtemp(join(tmpdir(), "lfmc-fuzz-"));
afterAll(() => rm(folder, { recursive: true, force: true }));
const corpus = fileURLToPath(new URL("corpus/", import.meta.url));
const cases = 80;
const seed = 20261126;

describe.each(targets)("$name", (target) => {
  const base = join(folder, target.name);

  test(`${cases} cases keep the bounds, and are neither all refused nor all accepted`, async () => {
    await mkdir(base);
    await target.prepare(base);
    const open = await target.open(base);
    const outcomes = new Set<string>();
    for (let index = 0; index < cases; index++) {
      const { outcome, fault } = await runCase(open, base, caseOf(open, target.name, seed, index));
      expect(fault, `--target ${target.name} --seed ${seed} --case ${index}`).toBeNull();
      outcomes.add(outcome);
    }
    expect(outcomes.has("accepted")).toBe(true);
    expect(outcomes.size).toBeGreaterThan(1);
    const whole = await compileCase(open, base, caseOf(open, target.name, seed, 1));
    expect(whole?.fault ?? null).toBeNull();
    await open.close();
  });

  test("what broke a bound once keeps it now", async () => {
    const open = await target.open(base);
    const files = await readdir(join(corpus, target.name), { recursive: true, withFileTypes: true }).catch(() => []);
    for (const entry of files.filter((each) => each.isFile())) {
      const path = join(entry.parentPath, entry.name);
      // corpus/<target>/<what it shows>/<the file's path below the base>.input
      const below = path
        .slice(join(corpus, target.name).length + 1)
        .replace(/^[^/]+\//, "")
        .replace(/\.input$/, "");
      const { fault } = await runCase(open, base, { path: below, bytes: new Uint8Array(await readFile(path)) });
      expect(fault, path).toBeNull();
    }
    await open.close();
  });
});
