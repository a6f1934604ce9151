/** `lfmc batch` on the demo model, as a user has it: the same text as `lfmc run`, whatever the sessions and however often it was killed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { root, workFolder } from "../model/support.ts";
import { compileModel, json, lfmc, oneModule, record } from "./support.ts";

const folder = await workFolder();
const demo = join(folder, "demo");
const prompts = join(folder, "prompts.jsonl");
const greedy = ["--temperature", "0", "--max-tokens", "8"];

const beginnings = ["It is a truth", "Emma Woodhouse", "Mr. Darcy", "She had", "The letter", "Nothing could"];

beforeAll(async () => {
  await compileModel(demo, undefined, [...oneModule, "--sessions", "3"]);
  await writeFile(prompts, beginnings.map((prompt, id) => `${JSON.stringify({ id, prompt })}\n`).join(""));
});

test("each line has what lfmc run gives, in order, and --json tells the sums", async () => {
  const out = join(folder, "out.jsonl");
  const summary = await json(["batch", demo, prompts, "-o", out, ...greedy]);
  expect(Object.keys(summary)).toEqual(["lines", "errors", "promptTokens", "tokens", "resumed", "seconds", "tokensPerSecond"]);
  expect(summary).toMatchObject({ lines: 6, errors: 0, tokens: 48, resumed: 0 });
  const lines = (await readFile(out, "utf8")).trimEnd().split("\n");
  const run = await json(["run", demo, "--prompt", "Mr. Darcy", ...greedy]);
  const { text, tokens, promptTokens, stopReason } = run;
  expect(lines).toHaveLength(6);
  expect(lines[2]).toBe(JSON.stringify({ index: 2, id: 2, text, tokens, promptTokens, stopReason }));

  // What is there already is not taken.
  expect(await lfmc(["batch", demo, prompts, "-o", out])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("[io/exists]") as string,
  });
});

test("lines that cannot be served have their error, the others their text; the status tells", async () => {
  const [input, out] = [join(folder, "mixed.jsonl"), join(folder, "mixed.out.jsonl")];
  await writeFile(input, '{"prompt":"Emma"}\n{"id":"x","messages":[]}\nnonsense');
  const { status, stderr, stdout } = await lfmc(["batch", demo, input, "-o", out, ...greedy, "--stop", "e"]);
  expect([status, stdout]).toEqual([1, ""]);
  expect(stderr).toContain("2 of 3 lines have an error");
  const lines = (await readFile(out, "utf8"))
    .trimEnd()
    .split("\n")
    .map((line) => record(JSON.parse(line)));
  expect(lines).toMatchObject([
    { index: 0, stopReason: "stop" },
    { index: 1, id: "x", error: {} },
    { index: 2, error: { code: "run/input" } },
  ]);
  expect(lines[0]?.text).not.toContain("e");
});

/** Runs the command until its journal has a line more, and sends it a signal then. */
async function interrupted(
  args: readonly string[],
  out: string,
  signal: NodeJS.Signals,
): Promise<{ readonly status: unknown; readonly stderr: string }> {
  const size = async (): Promise<number> =>
    await stat(`${out}.partial`).then(
      ({ size: bytes }) => bytes,
      () => 0,
    );
  const before = await size();
  const child = spawn(process.execPath, [join(root, "compiler", "cli.ts"), ...args], { cwd: root, stdio: ["ignore", "inherit", "pipe"] });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (piece: string) => (stderr += piece));
  const ended = once(child, "close");
  while ((await size()) <= before && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 10));
  child.kill(signal);
  const [status] = (await ended) as [unknown];
  return { status, stderr };
}

test("after a kill and after Ctrl-C the same command goes on, to the same bytes", async () => {
  const [input, whole, out] = ["long.jsonl", "whole.jsonl", "killed.jsonl"].map((name) => join(folder, name)) as [string, string, string];
  await writeFile(input, Array.from({ length: 120 }, (_, i) => `${JSON.stringify({ prompt: `${beginnings[i % 6]} ${i}` })}\n`).join(""));
  const flags = ["--max-tokens", "16", "--seed", "5"];
  expect(await lfmc(["batch", demo, input, "-o", whole, ...flags])).toMatchObject({ status: 0, stdout: "" });
  const command = ["batch", demo, input, "-o", out, ...flags];
  expect((await interrupted(command, out, "SIGKILL")).status).toBeNull();
  expect(await lfmc(["batch", demo, input, "-o", out, "--max-tokens", "17"])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("settings") as string,
  });
  const { status, stderr } = await interrupted(command, out, "SIGINT");
  expect([status, stderr]).toEqual([130, expect.stringContaining("of 120 lines: the same command goes on from there") as string]);
  const { stdout } = await lfmc([...command, "--json"]);
  expect(record(JSON.parse(stdout)).resumed).toBeGreaterThan(0);
  expect(Buffer.compare(await readFile(out), await readFile(whole))).toBe(0);
  expect((await readdir(folder)).filter((name) => name.startsWith("killed.jsonl"))).toEqual(["killed.jsonl"]);
});

test("a flag of another engine is refused", async () => {
  const { status, stderr } = await lfmc(["batch", demo, prompts, "-o", join(folder, "no.jsonl"), "--workers", "2"]);
  expect([status, stderr]).toEqual([2, expect.stringContaining("[usage/flag]")]);
});

test("what cannot be read or written is refused, and nothing is left", async () => {
  const before = await readdir(folder);
  const absent = await lfmc(["batch", demo, join(folder, "absent"), "-o", join(folder, "no.jsonl")]);
  expect(absent).toMatchObject({ status: 1, stderr: expect.stringContaining("[io/missing]") as string });
  const nowhere = await lfmc(["batch", demo, prompts, "-o", join(folder, "absent", "no.jsonl")]);
  expect(nowhere).toMatchObject({ status: 1, stderr: expect.stringContaining("[io/unreadable]") as string });
  expect(await readdir(folder)).toEqual(before);
});
