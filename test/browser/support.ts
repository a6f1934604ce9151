/**
 * Real browsers for tests, headless, by puppeteer-core: Chromium over its DevTools protocol, Firefox over WebDriver BiDi. Pages come from
 * the server in `server.ts`. A browser is started once a test file and closed by it; what is not installed is a reason to skip.
 */
import { existsSync } from "node:fs";
import { launch, type Browser, type Page } from "puppeteer-core";
import type { Engine } from "../engines.ts";

export type BrowserName = "chromium" | "firefox";

export const browserNames: readonly BrowserName[] = ["chromium", "firefox"];

const programs: Readonly<Record<BrowserName, string>> = { chromium: "/usr/bin/chromium", firefox: "/usr/bin/firefox-esr" };
const packages: Readonly<Record<BrowserName, string>> = { chromium: "chromium", firefox: "firefox-esr" };

/** The browser's program, as Debian has it, or why it is not there. */
export function findBrowser(name: BrowserName): Engine {
  const path = programs[name];
  if (existsSync(path)) return { available: true, path };
  return { available: false, reason: `${path} is not installed: apt-get install ${packages[name]}` };
}

/** Starts a browser with a profile of its own. Close it after the tests (`afterAll(() => browser.close())`). Throws where there is none. */
export async function openBrowser(name: BrowserName): Promise<Browser> {
  const found = findBrowser(name);
  if (!found.available) throw new Error(found.reason);
  const executablePath = found.path;
  return name === "chromium"
    ? await launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] })
    : await launch({ executablePath, browser: "firefox" });
}

export interface OpenPage {
  readonly page: Page;
  /** Errors of the page so far: uncaught ones, and those on its console, where Chromium also reports what a policy forbids. */
  readonly complaints: readonly string[];
}

/** Opens a page and waits until its document and scripts are loaded. */
export async function openPage(browser: Browser, url: string): Promise<OpenPage> {
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  await page.goto(url);
  return { page, complaints };
}
