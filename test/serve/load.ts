/**
 * Load on `lfmc serve`, in rounds of 200 requests, 16 at a time: half of them are streams, the clients of a fifth vanish in the middle, a
 * tenth are malformed. Every other client must get what it gets alone, memory must stay as it was after the first round, and no socket may be
 * left open.
 *
 *     node test/serve/load.ts [ARTEFACT]     (without one, the demo model is compiled with four sessions)
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import OpenAI from "openai";
import { compile } from "../../compiler/index.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const [requests, atATime, rounds] = [200, 16, 4];
/** How much more memory the last round may leave than the first one did, in MiB: what comes and goes with the garbage collector. */
const mostGrowth = 24;

interface Case {
  readonly prompt: string;
  readonly seed: number;
  readonly max_tokens: number;
  readonly temperature: number;
}

const openings = ["It is a truth", "Elizabeth", "The party at", "Mr. Darcy said", "Emma, handsome", "She had been", "Nobody", "The family"];
/** Short prompts and long ones that begin alike, greedy and sampled: 40 of them, so that each is asked several times. */
const cases: readonly Case[] = Array.from({ length: 40 }, (_, i) => {
  const opening = openings[i % openings.length] ?? "";
  const prompt = i % 3 === 0 ? `${openings.join(". ").repeat(1 + (i % 4))} ${opening}` : opening;
  return { prompt, seed: i, max_tokens: 10 + ((i * 7) % 60), temperature: i % 2 === 0 ? 0 : 0.8 };
});

type Outcome = "whole" | "left" | "refused";

/** What became of request `index`; throws where that is not as it should be. */
async function request(client: OpenAI, index: number, expected: ReadonlyMap<Case, string>): Promise<Outcome> {
  const wanted = cases[(index * 13) % cases.length];
  if (!wanted) throw new Error("no case");
  if (index % 10 === 9) return await malformed(client.baseURL, index);
  const body = { ...wanted, model: "demo" };
  const abort = new AbortController();
  let text = "";
  if (index % 2 === 0) {
    const stream = await client.completions.create({ ...body, stream: true }, { signal: abort.signal });
    for await (const piece of stream) {
      text += piece.choices[0]?.text ?? "";
      if ((index % 10 === 0 || index % 10 === 4) && text !== "") {
        abort.abort();
        return "left";
      }
    }
  } else text = (await client.completions.create(body)).choices[0]?.text ?? "";
  if (text === expected.get(wanted)) return "whole";
  throw new Error(`request ${index} got ${JSON.stringify(text)} instead of ${JSON.stringify(expected.get(wanted))}`);
}

async function malformed(baseUrl: string, index: number): Promise<Outcome> {
  const bodies = [
    "{",
    '{"prompt": 5}',
    '{"prompt": "a", "max_tokens": -1}',
    "[".repeat(9999),
    "\u0000",
    JSON.stringify({ prompt: "a".repeat(2 ** 20) }),
  ];
  const body = bodies[index % bodies.length] ?? "";
  const { status } = await fetch(`${baseUrl}/completions`, { method: "POST", headers: { "content-type": "application/json" }, body });
  if (status === 400 || status === 413) return "refused";
  throw new Error(`a malformed body got ${status}`);
}

/** All requests, `atATime` of them under way. */
async function round(client: OpenAI, expected: ReadonlyMap<Case, string>): Promise<Readonly<Record<Outcome, number>>> {
  const counts = { whole: 0, left: 0, refused: 0 };
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < requests; index = next++) counts[await request(client, index, expected)]++;
  };
  await Promise.all(Array.from({ length: atATime }, worker));
  return counts;
}

interface Usage {
  readonly residentMiB: number;
  readonly sockets: number;
}

/** Of a process, from Linux's /proc. */
async function usageOf({ pid }: ChildProcess): Promise<Usage> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const descriptors = await readdir(`/proc/${pid}/fd`);
  return { residentMiB: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024, sockets: descriptors.length };
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "lfmc-load-"));
  const given = process.argv[2];
  const artefact = given === undefined ? join(folder, "demo") : resolve(given);
  if (given === undefined)
    await compile({ model: join(root, "examples", "demo-model"), target: "wasm-simd", output: artefact, sessions: 4 });
  const command = [join(root, "compiler", "cli.ts"), "serve", artefact, "--port", "0", "--json", "--alias", "demo"];
  const child = spawn(process.execPath, command, { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const line = await new Promise<string>((resolveLine) => child.stdout.setEncoding("utf8").once("data", resolveLine));
    const told: unknown = JSON.parse(line);
    const url = typeof told === "object" && told !== null && "url" in told ? String(told.url) : "";
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
    const expected = new Map<Case, string>();
    for (const one of cases) expected.set(one, (await client.completions.create({ ...one, model: "demo" })).choices[0]?.text ?? "");
    const usages: Usage[] = [];
    for (let at = 0; at < rounds; at++) {
      const begin = performance.now();
      const counts = await round(client, expected);
      const seconds = (performance.now() - begin) / 1000;
      await settled(url);
      const usage = await usageOf(child);
      usages.push(usage);
      const { residentMiB, sockets } = usage;
      const left = `${residentMiB.toFixed(1)} MiB resident, ${sockets} descriptors`;
      tell(`round ${at + 1}: ${JSON.stringify(counts)} in ${seconds.toFixed(1)} s; ${left}`);
    }
    const [first, last] = [usages.at(0), usages.at(-1)];
    if (!first || !last || last.residentMiB > first.residentMiB + mostGrowth || last.sockets > first.sockets + closing)
      throw new Error("it grew");
    child.kill("SIGTERM");
    const status = await new Promise((resolveExit) => child.once("exit", resolveExit));
    if (status !== 0) throw new Error(`ended with ${String(status)}`);
  } finally {
    child.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  }
}

/** Connections that may be just about to close; every round has forty clients that vanish. */
const closing = 2;

/** Keep-alive connections end after five seconds of rest. */
async function settled(url: string): Promise<void> {
  await new Promise((resolveSoon) => setTimeout(resolveSoon, 6500));
  const { status } = await fetch(`${url}/health`, { headers: { connection: "close" } });
  if (status !== 200) throw new Error(`health is ${status}`);
}

await main();
