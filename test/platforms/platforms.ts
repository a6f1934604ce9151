/**
 * The platforms that an artefact promises to run on, and how each is made to run it: by the artefact's own entry file, unbundled. What a
 * platform is known to lack stands in its row, so that a lack that comes or goes unnoticed is a difference.
 */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import type { Browser } from "puppeteer-core";
import * as v from "valibot";
import { isolation, serve, strictPolicy } from "../browser/server.ts";
import { findBrowser, openBrowser, openPage, type BrowserName } from "../browser/support.ts";
import { findBun, findDeno, findNode20, findWorkerd, type Engine } from "../engines.ts";
import { artefactModules, startWorkerd } from "./workerd.ts";

/** What to run, as `run.js` takes it. */
export interface Case {
  /** Text, or token ids where the artefact has no tokenizer. */
  readonly prompt: string | readonly number[];
  /** Tokens to generate. */
  readonly count: number;
  /** null for the best that there is. */
  readonly variant: string | null;
  readonly threads: number;
}

const outcome = v.union([
  v.strictObject({ lacks: v.string() }),
  v.strictObject({ variant: v.string(), ids: v.array(v.number()), text: v.string(), logits: v.pipe(v.string(), v.hash(["sha256"])) }),
]);
const outcomes = v.array(outcome);

const packageJson = v.object({ exports: v.object({ ".": v.record(v.string(), v.string()) }) });

/**
 * Why the platform could not run a case; or the variant that ran, the ids of prompt and answer, the latter's text, and the sha256 of the
 * logits after each id.
 */
export type Outcome = v.InferOutput<typeof outcome>;

export interface Platform {
  readonly name: string;
  readonly find: () => Engine;
  /** Whether it runs C libraries, not WebAssembly. */
  readonly isNative: boolean;
  /** What cases may want that the platform has not, with the reason. */
  readonly lacks: Readonly<Partial<Record<"relaxed" | "threads", string>>>;
  /** The engine's version, by itself. */
  readonly version: (engine: string) => Promise<string>;
  /** Runs cases on the artefact in a folder; `work` is an empty folder. Throws where anything else than a lack goes wrong. */
  readonly run: (engine: string, artefact: string, cases: readonly Case[], work: string) => Promise<readonly Outcome[]>;
}

/** Why the platform is known to be unable to run a case; null where it should. */
export function knownLack({ lacks }: Platform, { variant, threads }: Case): string | null {
  return (variant === "relaxed" ? lacks.relaxed : undefined) ?? (threads > 1 ? lacks.threads : undefined) ?? null;
}

/** The browsers that are running, each started when it is first wanted. */
export class Browsers {
  readonly #open = new Map<BrowserName, Promise<Browser>>();

  open(name: BrowserName): Promise<Browser> {
    const found = this.#open.get(name) ?? openBrowser(name);
    this.#open.set(name, found);
    return found;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.values()].map(async (browser) => (await browser).close()));
  }
}

const here = fileURLToPath(new URL(".", import.meta.url));
const run = promisify(execFile);

/** Every platform; pages are opened in `browsers`. */
export function platformsWith(browsers: Browsers): readonly Platform[] {
  const noShared = "a page that is not isolated from other origins shares no memory";
  return [
    { ...commandLine("Node 20", "node", findNode20, []), lacks: { relaxed: "Node 20's V8 has no relaxed SIMD" } },
    commandLine("Node 26", "node", findNode26, []),
    commandLine("Deno", "deno", findDeno, ["run", "--no-prompt", "--allow-read"]),
    commandLine("Bun", "bun", findBun, []),
    edgeWorker("workerd", []),
    edgeWorker("workerd, no_nodejs_compat", ["no_nodejs_compat"]),
    page("Chromium", "chromium", browsers, {}, { threads: noShared }),
    page("Chromium, isolated page", "chromium", browsers, isolation),
    page("Firefox", "firefox", browsers, {}, { threads: noShared }),
    page("Firefox, isolated page", "firefox", browsers, isolation),
    { ...commandLine("C library, Node 26 and koffi", "node", findNode26, []), isNative: true },
    { ...commandLine("C library, Deno", "deno", findDeno, ["run", "--no-prompt", "--allow-read", "--allow-ffi"]), isNative: true },
    { ...commandLine("C library, Bun", "bun", findBun, []), isNative: true },
  ];
}

function findNode26(): Engine {
  return { available: true, path: process.execPath };
}

/** The file that an artefact's package gives to hosts that ask for a condition. */
function entryOf(artefact: string, condition: string): string {
  const { exports } = v.parse(packageJson, JSON.parse(readFileSync(join(artefact, "package.json"), "utf8")));
  const entry = exports["."][condition] ?? exports["."].default;
  if (entry === undefined) throw new Error(`no entry for ${condition}`);
  return entry;
}

function commandLine(name: string, condition: string, find: () => Engine, flags: readonly string[]): Platform {
  return {
    name,
    find,
    isNative: false,
    lacks: {},
    version: async (engine) => firstVersion((await run(engine, ["--version"])).stdout),
    run: async (engine, artefact, cases) => {
      const entry = pathToFileURL(join(artefact, entryOf(artefact, condition))).href;
      const { stdout, stderr } = await run(engine, [...flags, join(here, "command.js"), entry, JSON.stringify(cases)]);
      return parsed(stdout + stderr);
    },
  };
}

function edgeWorker(name: string, flags: readonly string[]): Platform {
  return {
    name,
    find: findWorkerd,
    isNative: false,
    lacks: { threads: "workerd has no threads" },
    version: async (engine) => firstVersion((await run(engine, ["--version"])).stdout),
    run: async (engine, artefact, cases, work) => {
      const modules = {
        "worker.js": join(here, "worker.js"),
        "run.js": join(here, "run.js"),
        ...artefactModules(artefact, "artefact/"),
      };
      const folders = existsSync(join(artefact, "weights")) ? { WEIGHTS: artefact } : {};
      const worker = await startWorkerd(engine, work, { modules, folders, flags });
      let text = "";
      try {
        const response = await fetch(worker.url, { method: "POST", body: JSON.stringify(cases) });
        text = await response.text();
      } finally {
        text += await worker.close();
      }
      return parsed(text);
    },
  };
}

function page(
  name: string,
  browser: BrowserName,
  browsers: Browsers,
  headers: Readonly<Record<string, string>>,
  lacks: Platform["lacks"] = {},
): Platform {
  return {
    name,
    find: () => findBrowser(browser),
    isNative: false,
    lacks,
    version: async () => firstVersion(await (await browsers.open(browser)).version()),
    run: async (_engine, artefact, cases) => {
      const texts = { "/": '<!doctype html><title>cases</title><script type="module" src="page.js"></script>' };
      const server = await serve({ "/": here, "/artefact/": artefact }, { headers: { ...headers, ...strictPolicy }, texts });
      try {
        const task = JSON.stringify({ entry: entryOf(artefact, "browser"), cases });
        const { page: opened, complaints } = await openPage(await browsers.open(browser), `${server.url}#${encodeURIComponent(task)}`);
        const text = await (await opened.waitForSelector("output"))?.evaluate(({ textContent }) => textContent);
        await opened.close();
        if (complaints.length > 0) throw new Error(complaints.join("; "));
        return parsed(text ?? "");
      } finally {
        await server.close();
      }
    },
  };
}

function firstVersion(text: string): string {
  return /\d[\d.-]*\d/.exec(text)?.[0] ?? text;
}

function parsed(text: string): readonly Outcome[] {
  try {
    return v.parse(outcomes, JSON.parse(text));
  } catch {
    throw new Error(`no outcomes: ${text.slice(0, 2000)}`);
  }
}
