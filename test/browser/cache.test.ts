/**
 * Weights that real browsers keep between loads, in both of their stores, in pages and in workers: nothing is fetched twice, and what a store gives
 * back is never trusted.
 */
import { join } from "node:path";
import type { Browser } from "puppeteer-core";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { weightPieceBytes } from "../../runtime/manifest.ts";
import { compileTo, demoFolder, openModel, root, workFolder } from "../model/support.ts";
import { type Alteration, type Server, serve } from "./server.ts";
import { browserNames, findBrowser, openBrowser, openPage } from "./support.ts";

const folder = await workFolder();
const artefact = join(folder, "artefact");
const store = "lfmc-cached";
/** What happens to requests for the weights. */
const weather: { alteration: Alteration } = { alteration: {} };
let server: Server | undefined;
let pieces: readonly string[] = [];
let bytes = 0;
let tokens: readonly number[] = [];

beforeAll(async () => {
  // In f16 the demo model has four pieces.
  const model = { model: demoFolder, name: "cached", quant: "f16", features: ["simd128"] } as const;
  await compileTo(artefact, model);
  const loaded = await openModel(artefact);
  ({ tokens } = await loaded.createSession().complete([1, 40, 77, 912], { maxTokens: 8, ignoreEos: true, temperature: 0 }));
  const [part] = loaded.manifest.weights;
  pieces = part?.pieces ?? [];
  bytes = part?.bytes ?? 0;
  await loaded.dispose();
  const texts = { "/": "<!doctype html><title>Cache</title>" };
  const alter = ({ path }: { readonly path: string }): Alteration => (path.startsWith("/model/weights/") ? weather.alteration : {});
  server = await serve({ "/model/": artefact, "/page/": join(root, "test/browser") }, { texts, alter });
});

afterAll(() => server?.close());

/** The requests for weights since the last time, by their first bytes. */
let looked = 0;
function asked(): readonly string[] {
  const requests = server?.requests ?? [];
  const fresh = requests.slice(looked);
  looked = requests.length;
  return fresh.filter(({ path }) => path.startsWith("/model/weights/")).map(({ range }) => range ?? "whole");
}

type Run = (call: string) => Promise<unknown>;

describe.each(browserNames)("%s", (name) => {
  const found = findBrowser(name);
  let browser: Browser | null = null;
  let complaints: readonly string[] = [];

  /** A page, in which functions of cache-page.js may be called. */
  async function page(): Promise<Run> {
    if (!browser || !server) throw new Error("nothing is open");
    const opened = await openPage(browser, server.url);
    complaints = opened.complaints;
    return (call) => opened.page.evaluate(`import("/page/cache-page.js").then((page) => page.${call})`);
  }

  beforeAll(async () => {
    if (found.available) browser = await openBrowser(name);
  });

  afterAll(() => browser?.close());

  beforeEach(async (context) => {
    if (!found.available) context.skip(found.reason);
    weather.alteration = {};
    await (
      await page()
    )("clear()");
    looked = server?.requests.length ?? 0;
  });

  const whole = (): unknown => ({ tokens, seen: bytes });

  test.each(["opfs", "cache-api"])("%s: goes on where a load was cut short, and fetches nothing twice", async (kind) => {
    const run = await page();
    const attempt = `attempt({ cache: "${kind}" })`;
    weather.alteration = { cutAfter: 3 * weightPieceBytes + 77 };
    expect(await run(attempt)).toEqual({ code: "io/unreadable", message: expect.stringContaining("weights/00000.bin: ") as unknown });
    // A browser may lose what it had when the connection broke.
    const kept = await run(`stored("${kind}", "${store}").then(({ length }) => length)`);
    expect([1, 2, 3]).toContain(kept);
    weather.alteration = {};
    expect(await run(attempt)).toEqual(whole());
    expect(asked()).toEqual(["whole", `bytes=${Number(kept) * weightPieceBytes}-`]);
    expect(await run(`stored("${kind}", "${store}")`)).toEqual(pieces.toSorted());
    expect(await run(attempt)).toEqual(whole());
    expect(await run(attempt.replace("attempt", "attemptInWorker"))).toEqual(whole());
    expect(asked()).toEqual([]);
    await run(`spoil("${kind}", "${store}", "${pieces[1]}")`);
    expect(await run(attempt)).toEqual(whole());
    expect(asked()).toEqual([`bytes=${weightPieceBytes}-`]);
    expect(await run(attempt)).toEqual(whole());
    expect(asked()).toEqual([]);
  });

  test("by default in the origin private file system, from a worker too, and not at all where that is not wanted", async () => {
    const run = await page();
    expect(await run("attempt({ cache: false })")).toEqual(whole());
    expect(await run("attemptInWorker()")).toEqual(whole());
    expect(asked()).toEqual(["whole", "whole"]);
    expect(await run(`stored("opfs", "${store}")`)).toEqual(pieces.toSorted());
    expect(await run("attempt()")).toEqual(whole());
    expect(asked()).toEqual([]);
    expect(complaints).toEqual([]);
  });

  test("two pages that load at once do each other no harm", async () => {
    const runs = await Promise.all([page(), page()]);
    expect(await Promise.all(runs.map((run) => run("attempt()")))).toEqual([whole(), whole()]);
    asked();
    expect(await runs[0]("attempt()")).toEqual(whole());
    expect(asked()).toEqual([]);
  });

  test("an altered shard is refused by its name, and leaves nothing wrong behind", async () => {
    const run = await page();
    weather.alteration = { content: (file) => file.with(weightPieceBytes + 9, (file[weightPieceBytes + 9] ?? 0) ^ 1) };
    expect(await run("attempt()")).toMatchObject({
      code: "artefact/mismatch",
      message: expect.stringContaining("weights/00000.bin: sha256") as unknown,
    });
    expect(await run(`stored("opfs", "${store}")`)).toEqual(pieces.slice(0, 1));
    weather.alteration = {};
    expect(await run("attempt()")).toEqual(whole());
  });
});
