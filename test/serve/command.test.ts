/** `lfmc serve` as a user has it: a process that loads, tells where it is, serves, and ends when it is told to. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { lfmc, record } from "../cli/support.ts";
import { compileTo, demoFolder, root, workFolder } from "../model/support.ts";
import { fakeManifest, sealed } from "../runtime/support.ts";
import { ask, chatTemplate, post } from "./support.ts";

const folder = await workFolder();
const artefact = join(folder, "demo");
const templateFile = join(folder, "chat.jinja");

beforeAll(async () => {
  await compileTo(artefact, { model: demoFolder, features: ["simd128"] });
  await writeFile(templateFile, chatTemplate);
});

interface Served {
  readonly child: ChildProcess;
  /** What it printed on stdout. */
  readonly told: Readonly<Record<string, unknown>>;
  readonly url: string;
  /** Exit status, once it has ended. */
  readonly status: Promise<unknown>;
}

async function serve(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Served> {
  const command = [join(root, "compiler", "cli.ts"), "serve", artefact, "--port", "0", "--json", ...args];
  const child = spawn(process.execPath, command, { env: { PATH: process.env.PATH, ...environment }, stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const status = once(child, "exit").then(([code]: readonly unknown[]) => code);
  const line = await new Promise<string>((resolve, reject) => {
    child.on("error", reject).stdout.setEncoding("utf8").once("data", resolve);
  });
  const told = record(JSON.parse(line));
  return { child, told, url: String(told.url), status };
}

describe("lfmc serve", () => {
  it("tells its address, serves, and ends with 0 on SIGTERM", async () => {
    const { child, told, url, status } = await serve(["--alias", "austen", "--template", templateFile]);
    expect(told).toEqual({ url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/) as string, model: "austen", sessions: 1 });
    expect((await ask(`${url}/health`)).status).toBe(200);
    const answer = await post(`${url}/v1/chat/completions`, {
      model: "austen",
      messages: [{ role: "user", content: "Who?" }],
      max_tokens: 3,
    });
    expect(answer).toMatchObject({ status: 200, json: { usage: { completion_tokens: 3 } } });
    child.kill("SIGTERM");
    expect(await status).toBe(0);
  });

  it("takes its key from the environment", async () => {
    const { url } = await serve([], { LFMC_API_KEY: "secret" });
    expect((await ask(`${url}/v1/models`)).status).toBe(401);
    expect((await ask(`${url}/v1/models`, { headers: { authorization: "Bearer secret" } })).status).toBe(200);
  });

  it("lets running requests end, and ends at once on a second signal", async () => {
    const { child, url, status } = await serve(["--grace", "60"]);
    const wish = { prompt: "a", max_tokens: 4000, stream: true, logit_bias: { "2": -100 } };
    const response = await fetch(`${url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(wish),
    });
    child.kill("SIGINT");
    const health = await ask(`${url}/health`);
    expect(health).toMatchObject({ status: 503, json: { status: "stopping" } });
    child.kill("SIGINT");
    expect(await status).toBe(1);
    await expect(response.text()).rejects.toThrow();
  });
});

describe("lfmc serve refuses", () => {
  it("what is no artefact", async () => {
    expect(await lfmc(["serve", demoFolder])).toMatchObject({ status: 1, stderr: expect.stringContaining("is not an artefact") as string });
  });

  it("a C artefact that only its executable can run", async () => {
    const manifest = fakeManifest();
    const part = { path: "weights.bin", bytes: 64, sha256: "0".repeat(64), pieces: ["0".repeat(64)] };
    const memory = { ...manifest.memory, pages: 0, weights: { offset: 0, bytes: 64 } };
    const library = sealed({ ...manifest, target: "c", memory, weights: [part], sources: [{ path: "fake.c", sha256: part.sha256 }] });
    await mkdir(join(folder, "c"));
    await writeFile(join(folder, "c", "manifest.json"), JSON.stringify(library));
    const refused = await lfmc(["serve", join(folder, "c")], { environment: { LFMC_RUNNER: "" } });
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining("cannot be called from here") as string });
  });

  it("an empty key, a template that is not there, and flags out of range", async () => {
    const refusals = await Promise.all([
      lfmc(["serve", artefact], { environment: { LFMC_API_KEY: "" } }),
      lfmc(["serve", artefact, "--template", join(folder, "none")]),
      lfmc(["serve", artefact, "--port", "65536"]),
      lfmc(["serve", artefact, "--timeout", "0"]),
    ]);
    expect(refusals.map(({ status }) => status)).toEqual([2, 1, 2, 2]);
  });

  it("an address that is taken", async () => {
    const { url } = await serve([]);
    const refused = await lfmc(["serve", artefact, "--port", new URL(url).port]);
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining("EADDRINUSE") as string });
  });
});
