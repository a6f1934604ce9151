/** The chat page of `examples/browser` in real browsers, as strict as its README says, with and without the headers that allow threads. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Browser, Page } from "puppeteer-core";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { chat } from "../../runtime/chat/index.ts";
import { isolation, type Server, serve, type ServeOptions, strictPolicy } from "../browser/server.ts";
import { browserNames, findBrowser, openBrowser, openPage, type OpenPage } from "../browser/support.ts";
import { compileTo, demoFolder, openModel, root, workFolder } from "../model/support.ts";

const work = await workFolder();
const example = join(root, "examples", "browser");
const prompt = "It is a truth universally acknowledged, that";
const template = `{{ bos_token }}{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}<|im_start|>assistant
`;

const story = (await compileTo(join(work, "story"), { model: demoFolder })).folder;
const conversation = await compileConversation();

/** The demo model with a chat template, which it was not trained on. */
async function compileConversation(): Promise<string> {
  const model = join(work, "checkpoint");
  await mkdir(model);
  for (const file of ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
    await copyFile(join(demoFolder, file), join(model, file));
  await writeFile(join(model, "chat_template.jinja"), template);
  return (await compileTo(join(work, "conversation"), { model, features: ["simd128"] })).folder;
}

/** Under the policy of the README, which also tells the server of what it forbids. */
async function serveModel(model: string, { headers, ...options }: ServeOptions = {}): Promise<Server> {
  const policy = { "content-security-policy": `${strictPolicy["content-security-policy"] ?? ""}; report-uri /violation` };
  const server = await serve({ "/": example, "/model/": model }, { headers: { ...policy, ...headers }, ...options });
  onTestFinished(() => server.close());
  return server;
}

async function until(page: Page, state: "loading" | "ready" | "answering" | "failed"): Promise<void> {
  await page.waitForSelector(`body[data-state="${state}"]`);
}

async function open(browser: Browser, url: string): Promise<OpenPage> {
  const opened = await openPage(browser, url);
  onTestFinished(() => opened.page.close());
  return opened;
}

async function textOf(page: Page, id: string): Promise<string> {
  return await page.$eval(`#${id}`, ({ textContent }) => textContent);
}

/** What was said, the user's words and the model's by turns. */
async function turns(page: Page): Promise<readonly string[]> {
  return await page.$$eval(".words", (words) => words.map(({ textContent }) => textContent));
}

async function ask(page: Page, text: string): Promise<void> {
  await page.type("#prompt", text);
  await page.keyboard.press("Enter");
}

/** Asks, and resolves with the lengths that the answer had on its way. */
async function lengthsWhile(page: Page, run: () => Promise<void>): Promise<readonly number[]> {
  const lengths = await page.evaluateHandle(() => {
    const found: number[] = [];
    const conversation = document.querySelector("#conversation");
    const note = (): void => void found.push(document.querySelector(".turn.model:last-child .words")?.textContent.length ?? 0);
    if (conversation) new MutationObserver(note).observe(conversation, { childList: true, subtree: true });
    return found;
  });
  await run();
  return await lengths.evaluate((found) => [...new Set(found)]);
}

function violations({ requests }: Server): readonly string[] {
  return requests.map(({ path }) => path).filter((path) => path === "/violation");
}

test("the policy is the same in README, page and server, which serves this folder alone", async () => {
  const policy = strictPolicy["content-security-policy"] ?? "";
  expect(await readFile(join(example, "README.md"), "utf8")).toContain(`Content-Security-Policy: ${policy}\n`);
  expect(await readFile(join(example, "index.html"), "utf8")).toContain(`content="${policy.replace("; frame-ancestors 'none'", "")}"`);
  const answers = async (...args: readonly string[]): Promise<readonly Response[]> => {
    const server = spawn(process.execPath, [join(example, "serve.js"), "0", ...args], { stdio: ["ignore", "pipe", "inherit"] });
    onTestFinished(async () => {
      server.kill();
      await once(server, "exit");
    });
    const url = await new Promise<string>((resolve) => createInterface(server.stdout).once("line", resolve));
    return await Promise.all(["", "page.js?x", "..%2fREADME.md", "absent", "screenshots"].map((path) => fetch(`${url}${path}`)));
  };
  const isolated = await answers();
  expect(isolated.map(({ status }) => status)).toEqual([200, 200, 404, 404, 404]);
  for (const { headers } of isolated) expect(Object.fromEntries(headers)).toMatchObject({ ...strictPolicy, ...pick(isolation) });
  const [page] = await answers("--shared");
  expect(page?.headers.get("content-security-policy")).toBe(policy);
  expect(page?.headers.has("cross-origin-opener-policy")).toBe(false);
});

/** Of the headers of isolation, those that a page needs. */
function pick(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => /opener|embedder/.test(name)));
}

describe.each(browserNames)("%s", (name) => {
  const found = findBrowser(name);
  let browser: Browser;
  beforeAll(async () => {
    if (found.available) browser = await openBrowser(name);
  });
  afterAll(async () => {
    if (found.available) await browser.close();
  });
  beforeEach((context) => {
    if (!found.available) context.skip(found.reason);
  });

  test("streams a story that Node would write, in threads where the page is isolated", async () => {
    const server = await serveModel(story, { headers: isolation });
    const { page, complaints } = await open(browser, `${server.url}?threads=3&seed=7&tokens=200`);
    await until(page, "ready");
    const model = await openModel(story);
    const { threadBytes, bytes } = model.manifest.memory;
    expect(await textOf(page, "name")).toBe("demo-model");
    expect(await textOf(page, "code")).toMatch(/^(relaxed|simd128), 3 threads$/);
    expect(await textOf(page, "memory")).toBe(`${((bytes + 3 * threadBytes) / 1e6).toFixed(1)} MB, as planned`);

    const lengths = await lengthsWhile(page, async () => {
      await ask(page, prompt);
      await page.waitForFunction(() => document.querySelector("#context")?.textContent !== "0 of 4,096 tokens");
      await until(page, "ready");
      await ask(page, "Emma");
      await page.waitForFunction(() => document.querySelectorAll(".words").length === 4);
      await until(page, "ready");
    });
    const session = model.createSession();
    const first = await session.complete(prompt, { maxTokens: 200, seed: 7 });
    const second = await session.complete(" Emma", { maxTokens: 200, seed: 7 });
    expect(await turns(page)).toEqual([prompt, first.text, " Emma", second.text]);
    expect(lengths.length).toBeGreaterThan(4);
    expect(await textOf(page, "speed")).toMatch(/^\d[\d,]* tokens\/s$/);
    expect(await textOf(page, "context")).toBe(`${session.position} of 4,096 tokens`);
    await model.dispose();
    expect(complaints).toEqual([]);
    expect(violations(server)).toEqual([]);
  });

  test("stops in the middle of an answer, goes on from there, and starts anew", async () => {
    const server = await serveModel(story);
    const { page, complaints } = await open(browser, `${server.url}?seed=7&tokens=4000`);
    await until(page, "ready");
    expect(await textOf(page, "code")).toMatch(/, 1 thread$/);
    const stops = [() => page.click("#stop"), () => page.keyboard.press("Escape")];
    for (const [i, stop] of stops.entries()) {
      await page.keyboard.press("Enter");
      await page.waitForFunction((least) => (document.querySelector("#conversation")?.textContent.length ?? 0) > least, {}, 200 + i * 1000);
      await stop();
      await until(page, "ready");
      expect(await textOf(page, "status")).toBe("Stopped.");
    }
    const said = await turns(page);
    const model = await openModel(story);
    const session = model.createSession();
    const start = model.tokenizer?.encode(prompt) ?? [];
    const maxTokens = Number.parseInt((await textOf(page, "context")).replace(",", ""), 10) - start.length;
    const { text } = await session.complete(start, { maxTokens, seed: 7 });
    await model.dispose();
    expect(said).toHaveLength(3);
    expect(said.slice(1).join("")).toBe(text);
    expect(maxTokens).toBeLessThan(4000);
    await page.click("#anew");
    expect(await turns(page)).toEqual([]);
    expect(await textOf(page, "context")).toBe("0 of 4,096 tokens");
    expect(complaints).toEqual([]);
    expect(violations(server)).toEqual([]);
  });

  test("has a conversation where the model has a chat template", async () => {
    const server = await serveModel(conversation);
    const { page, complaints } = await open(browser, `${server.url}?seed=3&tokens=40`);
    await until(page, "ready");
    const questions = ["Who is Emma?", "And Mr. Knightley?"];
    for (const [i, question] of questions.entries()) {
      await ask(page, question);
      await page.waitForFunction((count) => document.querySelectorAll(".words").length === count, {}, 2 * i + 2);
      await until(page, "ready");
    }
    const model = await openModel(conversation);
    const session = model.createSession();
    const messages: { role: "user" | "assistant"; content: string }[] = [];
    for (const question of questions) {
      messages.push({ role: "user", content: question });
      let content = "";
      for await (const { text = "" } of chat(model, session, messages, { seed: 3, maxTokens: 40 })) content += text;
      messages.push({ role: "assistant", content });
    }
    await model.dispose();
    expect(await turns(page)).toEqual(messages.map(({ content }) => content));
    expect(complaints).toEqual([]);
    expect(violations(server)).toEqual([]);
  });

  test("says what is wrong in words, and tries again", async () => {
    let isWhole = false;
    const server = await serveModel(story, { alter: ({ path }) => (path.endsWith(".bin") && !isWhole ? { status: 404 } : undefined) });
    const { page } = await open(browser, server.url);
    await until(page, "failed");
    expect(await textOf(page, "fact")).toContain("weights/00000.bin");
    expect(await textOf(page, "hint")).toMatch(/^\w.*[.?]$/);
    isWhole = true;
    await page.click("#retry");
    await until(page, "ready");
    expect(await page.$eval("#failure", (element) => element.checkVisibility())).toBe(false);
    // What was fetched once is kept.
    const fetched = server.requests.length;
    await page.reload();
    await until(page, "ready");
    expect(server.requests.slice(fetched).map(({ path }) => path)).not.toContain("/model/weights/00000.bin");
  });

  test("takes no model from another origin", async () => {
    const server = await serveModel(story);
    const { page } = await open(browser, `${server.url}?model=${encodeURIComponent("https://example.com/model/")}`);
    await until(page, "failed");
    expect(await textOf(page, "fact")).toBe("https://example.com is not this page's own origin.");
    expect(server.requests.map(({ path }) => path)).not.toContain("/model/index.js");
  });
});
