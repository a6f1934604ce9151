/** The examples for Deno and Bun, run by their real binaries as their READMEs tell: they write what Node writes. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Model } from "../../runtime/index.ts";
import { type Engine, findBun, findDeno } from "../engines.ts";
import { compileTo, demoFolder, oneThread, openModel, root, workFolder } from "../model/support.ts";

const prompt = "Mr. Darcy";
const work = await workFolder();
const deno = join(work, "deno");
const bun = join(work, "bun");
const env = { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" };
let model: Model;

beforeAll(async () => {
  const artefact = join(deno, "node_modules", "demo-model");
  await compileTo(artefact, { model: demoFolder, sessions: 2, features: oneThread });
  await cp(join(root, "examples", "deno"), deno, { recursive: true });
  await cp(join(root, "examples", "bun"), bun, { recursive: true });
  await cp(artefact, join(bun, "node_modules", "demo-model"), { recursive: true });
  model = await openModel(artefact);
});
afterAll(() => model.dispose());

async function nodeWrites(text: string, maxTokens: number): Promise<string> {
  const session = model.createSession();
  const completion = await session.complete(text, { maxTokens, temperature: 0 });
  session.release();
  return completion.text;
}

/** What a program prints; it must have nothing to complain of. */
function run(engine: Engine & { available: true }, folder: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(engine.path, args, { cwd: folder, env, encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout;
}

test("deno run main.ts, with leave to read alone", async (context) => {
  const engine = findDeno();
  if (!engine.available) return context.skip(engine.reason);
  const stdout = run(engine, deno, "run", "--quiet", "--no-prompt", "--allow-read=.", "main.ts", prompt);
  expect(stdout).toBe(`${prompt}${await nodeWrites(prompt, 60)}\n`);
});

test("deno check finds the artefact's types", async (context) => {
  const engine = findDeno();
  if (!engine.available) return context.skip(engine.reason);
  run(engine, deno, "check", "--quiet", "main.ts", "server.ts");
  const wrong = 'import { load } from "demo-model";\nexport const width: 255 = (await load()).manifest.model.hiddenSize;\n';
  await writeFile(join(deno, "wrong.ts"), wrong);
  const { status, stderr } = spawnSync(engine.path, ["check", "wrong.ts"], { cwd: deno, env, encoding: "utf8" });
  expect(status).toBe(1);
  expect(stderr).toContain("Type '256' is not assignable to type '255'");
});

test("deno serve server.ts streams answers to requests that come at once", async (context) => {
  const engine = findDeno();
  if (!engine.available) return context.skip(engine.reason);
  const args = ["serve", "--no-prompt", "--allow-read=.", "--host=127.0.0.1", "--port=0", "server.ts"];
  const server = spawn(engine.path, args, { cwd: deno, env, stdio: ["ignore", "ignore", "pipe"] });
  try {
    const url = await addressIn(server.stderr);
    const prompts = ["Emma was", prompt, "Anne"];
    const answers = await Promise.all(prompts.map((body) => fetch(url, { method: "POST", body })));
    const pieces = await Promise.all(answers.map(piecesOf));
    for (const [i, text] of prompts.entries()) expect(pieces[i]?.join("")).toBe(await nodeWrites(text, 200));
    for (const some of pieces) expect(some.length).toBeGreaterThan(5);
    expect((await fetch(url)).status).toBe(405);
  } finally {
    server.kill();
    await once(server, "exit");
  }
});

async function addressIn(stderr: NodeJS.ReadableStream): Promise<string> {
  for await (const line of createInterface(stderr)) {
    const [url] = /http:\S+/.exec(line) ?? [];
    if (url !== undefined) return url;
  }
  throw new Error("deno serve ended");
}

async function piecesOf(response: Response): Promise<readonly string[]> {
  const pieces: string[] = [];
  for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) pieces.push(piece);
  return pieces;
}

test("bun main.ts", async (context) => {
  const engine = findBun();
  if (!engine.available) return context.skip(engine.reason);
  expect(run(engine, bun, "main.ts", prompt)).toBe(`${prompt}${await nodeWrites(prompt, 60)}\n`);
});
