/** The page of a search's results: what stands in it, that it needs nothing beside it, and that no text of the results can break it. */
import { describe, expect, test } from "vitest";
import { reportHtml } from "../../compiler/explore/report.ts";
import { siteFigures } from "../../compiler/explore/site-figures.ts";
import { required } from "../../compiler/errors.ts";
import type { Results } from "../../compiler/explore/types.ts";
import { sampleResults } from "./sample-results.ts";

/** The part of the page about site `site`. */
function section(page: string, site: number): string {
  return required(page.split("<h2>")[site + 1], "section");
}

/** Texts of the cells of each row of the first table. */
function tableOf(html: string): readonly (readonly string[])[] {
  const table = /<table>(.*?)<\/table>/s.exec(html)?.[1] ?? "";
  return [...table.matchAll(/<tr>(.*?)<\/tr>/gs)].map(([, row = ""]) =>
    [...row.matchAll(/<t[dh][^>]*>(.*?)<\/t[dh]>/gs)].map(([, cell = ""]) => cell),
  );
}

describe("a report", () => {
  const page = reportHtml(sampleResults);

  test("has the command, the budgets and the machine", () => {
    expect(page).toContain("lfmc explore --max-decode-ms 3 --max-memory 60MB");
    expect(page).toContain("at most 3 ms at the end of a context of 1024 positions");
    expect(page).toContain("at most 60 MB");
    expect(page).toContain("10 % added");
    expect(section(page, 0)).toContain("a formula; none");
    expect(page).toContain("1234 candidates; 3 were built");
  });

  test("lists each front with its own figures, the worse of two measurements, and the commands that build it", () => {
    const [head = [], ...rows] = tableOf(section(page, 0));
    const column = (title: string): readonly (string | undefined)[] => rows.map((cells) => cells[head.indexOf(title)]);
    expect(column("candidate")).toEqual(["bbbbbbbb", "aaaaaaaa"]);
    expect(column("ms a token")).toEqual(["2.000", "1.250"]);
    expect(column("layers")).toEqual(["ccAc", "ccAc"]);
    expect(column("feed-forward")).toEqual(["2 of 8 experts of 192, the first 1 dense: 256", "256"]);
    expect(section(page, 0)).toContain("lfmc compile configs/bbbbbbbb.json --target wasm-simd");
    expect(tableOf(section(page, 1)).map(([id]) => id)).toEqual(["candidate", "aaaaaaaa"]);
    expect(section(page, 1)).not.toContain("--target wasm-simd");
  });

  test("draws quality over time and memory with the budgets, and what was foretold over what was measured", () => {
    const charts = section(page, 0).split("<svg").slice(1);
    expect(charts).toHaveLength(3);
    const [time = "", memory = "", model = ""] = charts;
    for (const rule of [">3 ms<", ">2.73 ms<"]) expect(time).toContain(rule);
    for (const series of ["front, measured twice", "breaks a budget", "foretold, not built"]) expect(time).toContain(series);
    expect(memory).toContain(">60 MB<");
    expect(model).toContain("median error 10.0 %");
    expect(reportHtml({ ...sampleResults, budgets: { ...sampleResults.budgets, prefillMs: 300 } })).toContain(">300 ms<");
  });

  test("says what was refused", () => {
    expect(page).toContain("cccccccc, c-x86: the process ended with SIGKILL");
  });

  test("is the same for the same results, needs no other file and no script, and has no number that is none", () => {
    expect(reportHtml(structuredClone(sampleResults))).toBe(page);
    expect(page).not.toMatch(/NaN|undefined|Infinity|<script|<link|url\(|@import| src=/);
    expect(page.replaceAll('xmlns="http://www.w3.org/2000/svg"', "")).not.toMatch(/https?:/);
  });

  test("holds whatever texts the results hold", () => {
    const hostile = `</code><script>alert("1")</script>`;
    const [first, ...others] = sampleResults.points;
    const results: Results = {
      ...sampleResults,
      command: hostile,
      evaluate: hostile,
      sites: sampleResults.sites.map((site) => ({ ...site, engine: hostile, cpu: hostile })),
      points: [{ ...required(first, "point"), qualityFault: hostile, commands: [hostile, hostile] }, ...others],
      refusals: [{ candidate: required(first, "point").candidate, why: hostile }],
    };
    expect(reportHtml(results)).not.toContain("<script");
    expect(reportHtml(results)).toContain("&lt;script&gt;");
  });

  test("has a page where nothing keeps the budgets, or has a quality", () => {
    const empty = reportHtml({ ...sampleResults, fronts: [[], []], predictedFronts: [[], []] });
    expect(empty).toContain("No measured candidate keeps all budgets.");
    expect(empty).not.toContain("<table>");
    const unjudged = sampleResults.points.map((each) => ({ ...each, quality: null }));
    expect(reportHtml({ ...sampleResults, points: unjudged })).not.toMatch(/NaN|undefined|Infinity/);
  });
});

test("figures at a site are of measurements, the last one's memory and the worst times, else foretold", () => {
  const [a, , c] = sampleResults.points;
  const [d] = sampleResults.predictedFronts[0] ?? [];
  const at = (point: typeof a, site: number) => siteFigures(required(point?.sites[site], "site"));
  expect(at(a, 0)).toMatchObject({ source: "confirmed", decodeMs: 1.25, prefillMs: 125 });
  expect(at(a, 1)).toMatchObject({ source: "confirmed", decodeMs: 0.5, prefillMs: 50 });
  expect(at(c, 0)).toMatchObject({ source: "measured", decodeMs: 2.9 });
  expect(at(c, 1)).toBeNull();
  expect(at(d, 0)).toMatchObject({ source: "predicted", decodeMs: 2.75, memoryBytes: 20e6, measured: null });
});
