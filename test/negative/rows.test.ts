/** The table of known faults (README.md): each test that it names is there. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root } from "../model/support.ts";

test("every row names tests, by the names that they have", async () => {
  const table = await readFile(join(root, "test/negative/README.md"), "utf8");
  const rows = table.split("\n").filter((line) => /^\| [^-]/.test(line) && line.includes("`test/"));
  expect(rows.length).toBeGreaterThanOrEqual(20);
  for (const row of rows) {
    const cell = row.split("|").at(-2) ?? "";
    for (const [, path = "", names = ""] of cell.matchAll(/`(test\/[^`]+)`([^`]*)/g)) {
      const text = await readFile(join(root, path), "utf8");
      const named = [...names.matchAll(/"([^"]+)"/g)].map(([, name = ""]) => name);
      expect(named.length, cell).toBeGreaterThan(0);
      for (const name of named) expect(text.includes(`"${name}"`), `${path} has no test "${name}"`).toBe(true);
    }
  }
});
