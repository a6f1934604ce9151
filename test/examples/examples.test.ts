/**
 * Every example as its reader runs it: a Node process, on an artefact of the demo model. What they print must be true, not only there.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { compileTo, contractInterpreter, demoFolder, interpretAll, openModel, root, workFolder } from "../model/support.ts";

const work = await workFolder();
const { folder } = await compileTo(join(work, "demo"), { model: demoFolder, sessions: 2 });

/** What an example prints; one that fails fails the test, with its own words. */
function run(example: string, ...args: readonly string[]): { readonly stdout: string; readonly stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join("examples", example), folder, ...args], {
    cwd: root,
    encoding: "utf8",
  });
  expect(stderr.replace(/^.*a second, ended by \w+\n$/, "")).toBe("");
  expect(status).toBe(0);
  return { stdout, stderr };
}

/** Whether some run of `count` words comes twice. */
function repeats(text: string, count: number): boolean {
  const words = text.trim().split(/\s+/);
  const runs = words.slice(0, words.length - count + 1).map((_, i) => words.slice(i, i + count).join(" "));
  return new Set(runs).size < runs.length;
}

test("generate.ts streams what the model writes with that seed, and tells how it went", async () => {
  const prompt = "Mr. Darcy";
  const { stdout, stderr } = run("generate.ts", prompt);
  const model = await openModel(folder);
  const { text } = await model.createSession().complete(prompt, { maxTokens: 60, seed: 1 });
  await model.dispose();
  expect(text.length).toBeGreaterThan(100);
  expect(stdout).toBe(`${prompt}${text}\n`);
  expect(stderr).toMatch(/^\d+ tokens, \d+ a second, ended by (length|eos)\n$/);
});

test("custom-sampling.ts: each sampler writes another text, and a filter keeps what it promises", () => {
  const lines = run("custom-sampling.ts").stdout.trimEnd().split("\n");
  expect(lines.filter((_, i) => i % 2 === 0)).toEqual(["greedy:", "greedy, no three tokens twice:", "typical, no three tokens twice:"]);
  const texts = lines.filter((_, i) => i % 2 === 1);
  expect(new Set(texts).size).toBe(3);
  for (const text of texts) expect(text.length).toBeGreaterThan(150);
  expect(texts.map((text) => repeats(text, 3))).toEqual([true, false, false]);
});

test("session-reuse.ts: however a session is used again, the text is that of a fresh one", () => {
  const [table = "", answers = ""] = run("session-reuse.ts").stdout.split("\n\n");
  const [heading, ...ways] = table.split("\n");
  expect(heading).toMatch(/^\d{3,} tokens of text, 3 continuations:$/);
  expect(ways.map((line) => line.replace(/ +\d+ ms +/, ": "))).toEqual([
    "fresh: same text",
    "rewind: same text",
    "fork: same text",
    "saveAndRestore: same text",
  ]);
  expect(answers.trimEnd().split("\n")).toEqual(
    ["Anne", "Captain Wentworth", "The next morning"].map((start) => expect.stringMatching(`^…${start}.{40,}…$`) as unknown),
  );
});

test("demo-moe/ compiles, and writes the likeliest tokens of its interpreter", async () => {
  const checkpoint = join(root, "examples", "demo-moe");
  const model = await openModel((await compileTo(join(work, "demo-moe"), { model: checkpoint })).folder);
  const prompt = model.tokenizer?.encode("It is a truth universally acknowledged, that") ?? [];
  const { tokens, text } = await model.createSession().complete(prompt, { maxTokens: 40, temperature: 0 });
  await model.dispose();
  expect(text).toMatch(/^( [A-Za-z,.;'-]+){20,}/);
  const logits = interpretAll(await contractInterpreter(checkpoint, {}), [...prompt, ...tokens]);
  const likeliest = logits.map((row) => row.indexOf(Math.max(...row)));
  expect(tokens).toEqual(likeliest.slice(prompt.length - 1, -1));
});
