/** A page in headless Chromium: opens one with nothing in it, and lets a module of `pages/` measure there. */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Repetition } from "../figures.ts";
import { peersFolder } from "../folders.ts";
import { serve } from "../serve.ts";
import { chromium, findTool } from "../tools.ts";
import { readJob, type Job } from "./job.ts";

/** What is used of the package puppeteer-core, which the root does not install. */
interface Puppeteer {
  launch(options: Readonly<Record<string, unknown>>): Promise<Browser>;
}

interface Browser {
  newPage(): Promise<Page>;
  close(): Promise<void>;
}

interface Page {
  goto(url: string): Promise<unknown>;
  evaluate(run: (module: string, job: Job) => Promise<Repetition>, module: string, job: Job): Promise<Repetition>;
}

const flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--no-first-run", "--mute-audio"];
const mostMilliseconds = 15 * 60 * 1000;

const job = readJob();
const profile = await mkdtemp(join(tmpdir(), "lfmc-peers-"));
const model = (await stat(job.path)).isDirectory() ? job.path : dirname(job.path);
const server = await serve({ "/": peersFolder, "/model/": model });
const packageName = "puppeteer-core";
const { default: puppeteer } = (await import(packageName)) as { readonly default: Puppeteer };
const browser = await puppeteer.launch({
  executablePath: findTool(chromium),
  pipe: true,
  args: flags,
  userDataDir: profile,
  protocolTimeout: mostMilliseconds,
});
try {
  const page = await browser.newPage();
  const startedAt = Date.now();
  await page.goto(`${server.url}pages/index.html`);
  const measured = await page.evaluate(measureInPage, `/pages/${job.page ?? ""}.ts`, { ...job, startedAt });
  process.stdout.write(`${JSON.stringify(measured)}\n`);
} finally {
  await browser.close();
  server.close();
  await rm(profile, { recursive: true, force: true });
}

/** Runs in the page: it sees nothing of this file. */
async function measureInPage(module: string, work: Job): Promise<Repetition> {
  const page = (await import(module)) as { readonly measure: (job: Job) => Promise<Repetition> };
  return await page.measure(work);
}
