/** `lfmc run` on the demo model: the text it writes, the record that `--json` prints, and the flags that shape a generation. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { caseFolder, readGolden } from "../golden/read.ts";
import { demoFolder, workFolder } from "../model/support.ts";
import { compileModel, json, lfmc, oneModule, output, record } from "./support.ts";

const folder = await workFolder();
const demo = join(folder, "demo");
const prompt = "It is a truth universally acknowledged, that";

beforeAll(async () => {
  await compileModel(demo);
});

/** A greedy continuation of the prompt. */
async function greedy(...flags: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  return await json(["run", demo, "--prompt", prompt, "--temperature", "0", ...flags]);
}

test("the demo model writes English, whatever the chunk of the prefill", async () => {
  const runs = await Promise.all(["1", "7", "64"].map((chunk) => greedy("--max-tokens", "60", "--prefill-chunk", chunk)));
  const [{ text = "", tokens } = {}] = runs;
  expect(tokens).toHaveLength(60);
  for (const run of runs) expect(run).toMatchObject({ tokens, text, promptTokens: 12, stopReason: "length" });
  // Each call takes a chunk of the 12 rows of the prompt; the last gives the first token, and every other token is one call.
  expect(runs.map(({ stats }) => record(stats).forwardPasses)).toEqual([12 + 59, 2 + 59, 1 + 59]);

  const known = new Set(wordsOf((await Promise.all((await readdir(join(demoFolder, "text"))).map(readNovel))).join("\n")));
  const words = wordsOf(String(text));
  expect(words.length).toBeGreaterThan(30);
  expect(words.filter((word) => known.has(word)).length / words.length).toBeGreaterThan(0.95);
});

async function readNovel(name: string): Promise<string> {
  return await readFile(join(demoFolder, "text", name), "utf8");
}

function wordsOf(text: string): readonly string[] {
  return text.toLowerCase().match(/[a-z]+/g) ?? [];
}

test("--json prints one record with exactly these fields", async () => {
  const result = await greedy("--max-tokens", "4");
  expect(Object.keys(result)).toEqual(["text", "tokens", "promptTokens", "stopReason", "seed", "stats"]);
  const stats = record(result.stats);
  expect(Object.keys(stats)).toEqual([
    ...["loadSeconds", "firstTokenSeconds", "prefillTokensPerSecond", "decodeTokensPerSecond", "forwardPasses"],
  ]);
  for (const value of Object.values(stats)) expect(value).toBeGreaterThan(0);
  expect(result).toMatchObject({ promptTokens: 12, stopReason: "length" });
});

test("without --json it prints the text and a line's end", async () => {
  const { text } = await greedy("--max-tokens", "20");
  expect(await output(["run", demo, "--prompt", prompt, "--temperature", "0", "--max-tokens", "20"])).toBe(`${String(text)}\n`);
});

test("--stop ends the text before it", async () => {
  const { text } = await greedy("--max-tokens", "40");
  const stop = "smallest";
  expect(text).toContain(stop);
  const stopped = await greedy("--max-tokens", "40", "--stop", "never to be seen", "--stop", stop);
  expect(stopped).toMatchObject({ text: String(text).slice(0, String(text).indexOf(stop)), stopReason: "stop" });
});

test("--seed repeats a sampled text, another seed gives another, and the seed that was drawn is told", async () => {
  const sample = (...flags: readonly string[]) =>
    json(["run", demo, "--prompt", prompt, "--max-tokens", "24", "--temperature", "1", ...flags]);
  const [first, again, other, drawn] = await Promise.all([sample("--seed", "5"), sample("--seed", "5"), sample("--seed", "6"), sample()]);
  expect(again.tokens).toEqual(first.tokens);
  expect(first.seed).toBe(5);
  expect(other.tokens).not.toEqual(first.tokens);
  expect((await sample("--seed", String(drawn.seed))).tokens).toEqual(drawn.tokens);
});

test("--top-k 1 is greedy at any temperature", async () => {
  const { tokens } = await greedy("--max-tokens", "16");
  expect((await json(["run", demo, "--prompt", prompt, "--max-tokens", "16", "--temperature", "2", "--top-k", "1"])).tokens).toEqual(
    tokens,
  );
});

test("--tokens are taken as they are, and the prompt's text is the same with BOS before it", async () => {
  const tokenizer: unknown = JSON.parse(await readFile(join(demoFolder, "tokenizer.json"), "utf8"));
  const ids = record(record(record(tokenizer).model).vocab);
  const [it, is] = [Number(ids.It), Number(ids["Ġis"])];
  const given = await json(["run", demo, "--tokens", `1,${it},${is}`, "--temperature", "0", "--max-tokens", "8"]);
  expect(given.promptTokens).toBe(3);
  const asText = await json(["run", demo, "--prompt", "It is", "--temperature", "0", "--max-tokens", "8"]);
  expect(asText).toMatchObject({ promptTokens: 3, tokens: given.tokens, text: given.text });
  const bare = await json(["run", demo, "--tokens", `${it},${is}`, "--temperature", "0", "--max-tokens", "8"]);
  expect(bare.promptTokens).toBe(2);
});

test("a model without a tokenizer runs on ids, gives the reference's greedy tokens, and an empty text", async () => {
  const artefact = join(folder, "odd");
  await output(["compile", caseFolder("dense-odd"), "--quant", "f32", ...oneModule, "-o", artefact]);
  const { ids, greedyIds } = readGolden("dense-odd");
  const flags = ["--tokens", ids.join(","), "--max-tokens", "32", "--temperature", "0"];
  expect(await json(["run", artefact, ...flags, "--ignore-eos"])).toMatchObject({ tokens: greedyIds, text: "", promptTokens: ids.length });
  const refused = await lfmc(["run", artefact, "--prompt", "Hello"]);
  expect(refused).toMatchObject({ status: 1, stdout: "" });
  expect(refused.stderr).toContain("no tokenizer");
});

test("an end token ends the text unless --ignore-eos is given", async () => {
  const artefact = join(folder, "eos");
  await output(["compile", caseFolder("dense-tiny"), "--quant", "f32", ...oneModule, "-o", artefact]);
  const manifest = join(artefact, "manifest.json");
  const { ids, greedyIds } = readGolden("dense-tiny");
  const end = greedyIds[5] ?? NaN;
  const text = await readFile(manifest, "utf8");
  await writeFile(manifest, text.replace(/"eos": \[\s*\d+\s*\]/, `"eos": [${end}]`));
  const flags = ["run", artefact, "--tokens", ids.join(","), "--max-tokens", "12", "--temperature", "0"];
  expect(await json(flags)).toMatchObject({ tokens: greedyIds.slice(0, greedyIds.indexOf(end) + 1), stopReason: "eos" });
  expect(await json([...flags, "--ignore-eos"])).toMatchObject({ tokens: greedyIds.slice(0, 12), stopReason: "length" });
});

test("--decode finds the same tokens, in fewer forward passes", async () => {
  const flags = ["--max-tokens", "100", "--ignore-eos"];
  const [plain, ...guessed] = await Promise.all([
    greedy(...flags),
    greedy(...flags, "--decode", "jacobi"),
    greedy(...flags, "--decode", "lookup", "--window", "9"),
  ]);
  for (const run of guessed) {
    expect(run).toMatchObject({ tokens: plain.tokens, text: plain.text, stopReason: plain.stopReason });
    expect(record(run.stats).forwardPasses).toBeLessThan(80);
  }
  expect((await lfmc(["run", demo, "--prompt", prompt, "--decode", "jacobi", "--window", "65"])).status).toBe(1);
});

test("--json-schema holds the text to a schema, --logprobs tells how likely each token was", async () => {
  const schema = join(folder, "schema.json");
  await writeFile(schema, JSON.stringify({ type: "object", properties: { novel: { enum: ["Emma", "Persuasion"] } }, required: ["novel"] }));
  const { text, tokens, logprobs } = await greedy("--json-schema", schema, "--logprobs", "2");
  expect(["Emma", "Persuasion"]).toContain(record(JSON.parse(String(text))).novel);
  if (!Array.isArray(logprobs) || !Array.isArray(tokens)) throw new Error("lists");
  expect(logprobs).toHaveLength(tokens.length);
  for (const { logprob, top } of logprobs.map(record)) {
    expect(logprob).toBeLessThan(0);
    expect(top).toHaveLength(2);
  }
  await writeFile(schema, "{");
  expect(await lfmc(["run", demo, "--prompt", prompt, "--json-schema", schema])).toMatchObject({ status: 1, stdout: "" });
});
