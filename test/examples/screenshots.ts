/**
 * `npm run screenshots`: pictures of `examples/browser` for its README, in each browser: while the model is loaded, and after an answer. They
 * are to be looked at before they are committed.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "puppeteer-core";
import { compile } from "../../compiler/index.ts";
import { isolation, serve, strictPolicy } from "../browser/server.ts";
import { browserNames, openBrowser, openPage } from "../browser/support.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const example = join(root, "examples", "browser");
const folder = join(example, "screenshots");
const width = 900;
const height = 700;
const query = "?seed=22&tokens=60";

const work = await mkdtemp(join(tmpdir(), "lfmc-screenshots-"));
const model = join(work, "model");
await compile({ model: join(root, "examples", "demo-model"), target: "wasm-simd", output: model });
await mkdir(folder, { recursive: true });

let isWhole = false;
const server = await serve(
  { "/": example, "/model/": model },
  {
    headers: { ...strictPolicy, ...isolation },
    alter: ({ path }) => (path.endsWith(".bin") && !isWhole ? { holdAfter: 2_500_000 } : undefined),
  },
);
for (const name of browserNames) {
  const browser = await openBrowser(name);
  const shoot = async (page: Page, what: string): Promise<void> => {
    const path = `${folder}/${name}-${what}.png` as const;
    await page.screenshot({ path });
    process.stderr.write(`${path}\n`);
  };
  isWhole = false;
  const { page } = await openPage(browser, server.url + query);
  await page.setViewport({ width, height });
  await page.waitForFunction(() => document.querySelector("#loaded")?.textContent.startsWith("2.") === true);
  await shoot(page, "loading");
  isWhole = true;
  await page.goto(server.url + query);
  await page.waitForSelector('body[data-state="ready"]');
  for (const [i, text] of ["It is a truth universally acknowledged, that", "Emma"].entries()) {
    await page.type("#prompt", text);
    await page.keyboard.press("Enter");
    await page.waitForFunction((turns) => document.querySelectorAll(".turn").length === turns, {}, 2 * i + 2);
    await page.waitForSelector('body[data-state="ready"]');
  }
  await shoot(page, "answered");
  await browser.close();
}
await server.close();
await rm(work, { recursive: true });
