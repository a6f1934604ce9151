/**
 * An artefact in the engines it promises to run under: a script that imports it and nothing else gets the same token ids, and the same
 * text, under the pinned Node and under Node 20, for every chunk of the prefill.
 */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { beforeAll, expect, test } from "vitest";
import { findNode20 } from "../engines.ts";
import { compileTo, demoFolder, openModel, workFolder } from "./support.ts";

const folder = await workFolder();
const artefact = join(folder, "demo");
const script = join(folder, "script.mjs");

/** Longer than a chunk of 7 and than one of 64. */
const prompt = `${"It is a truth universally acknowledged, that a single man in possession of a good fortune must be in want of a wife. ".repeat(3)}It`;

const scriptText = `
import { load } from ${JSON.stringify(pathToFileURL(join(artefact, "index.js")).href)};
const model = await load({ verify: true });
const runs = [];
for (const prefillChunk of [1, 7, 64]) {
  const session = model.createSession();
  const tokens = [];
  let text = "";
  for await (const part of session.generate(${JSON.stringify(prompt)}, { maxTokens: 24, temperature: 0, ignoreEos: true, prefillChunk })) {
    tokens.push(part.token);
    text += part.text;
  }
  runs.push({ promptTokens: session.result.stats.promptTokens, tokens, text });
  session.release();
}
console.log(JSON.stringify({ major: Number.parseInt(process.versions.node, 10), runs }));
`;

let expected: unknown;

beforeAll(async () => {
  await compileTo(artefact, { model: demoFolder });
  await writeFile(script, scriptText);
  const model = await openModel(artefact);
  const { tokens, text, stats } = await model.createSession().complete(prompt, { maxTokens: 24, temperature: 0, ignoreEos: true });
  expect(stats.promptTokens).toBeGreaterThan(64);
  expect(tokens).toHaveLength(24);
  expected = Array.from({ length: 3 }, () => ({ promptTokens: stats.promptTokens, tokens, text }));
});

async function runUnder(engine: string): Promise<unknown> {
  const { stdout, stderr } = await promisify(execFile)(engine, [script]);
  expect(stderr).toBe("");
  return JSON.parse(stdout);
}

test("the pinned Node runs the artefact's own script", async () => {
  expect(await runUnder(process.execPath)).toEqual({ major: Number.parseInt(process.versions.node, 10), runs: expected });
});

test("Node 20 gives the same ids", async (context) => {
  const engine = findNode20();
  if (!engine.available) {
    context.skip(engine.reason);
    return;
  }
  expect(await runUnder(engine.path)).toEqual({ major: 20, runs: expected });
});
