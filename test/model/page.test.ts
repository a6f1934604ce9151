/** An artefact in a page: its threads are Web Workers, and its first thread is the page's own, which may not sleep. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream, existsSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import { extname, join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import { chromium, findTool, missingTools } from "../bench/peers/tools.ts";
import { compileTo, demoFolder, openModel, workFolder } from "./support.ts";

const folder = await workFolder();
const artefact = join(folder, "artefact");
const prompt = "It is a truth universally acknowledged, that";
const options = { maxTokens: 16, temperature: 0, ignoreEos: true };

/** Says what it found, or what went wrong. */
const page = `<!doctype html><script type="module">
  const run = async () => {
    const { load } = await import("./index.js");
    const model = await load({ threads: 3 });
    const { tokens } = await model.createSession().complete(${JSON.stringify(prompt)}, ${JSON.stringify(options)});
    return { isolated: crossOriginIsolated, threads: model.threads, tokens };
  };
  const found = await run().catch((error) => ({ error: String(error) }));
  await fetch("found", { method: "POST", body: JSON.stringify(found) });
</script>`;

const mediaTypes: Readonly<Record<string, string>> = { ".js": "text/javascript", ".wasm": "application/wasm" };
const isolation = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };

/** Serves the page and the artefact; resolves with the request that the page ends with. */
async function served(open: (url: string) => void): Promise<IncomingMessage> {
  return await new Promise((resolve) => {
    const server = createServer((request, response) => {
      const path = new URL(request.url ?? "/", "http://localhost").pathname;
      if (request.method === "POST") {
        resolve(request);
        return;
      }
      const file = join(artefact, path);
      const isFound = path === "/" || existsSync(file);
      response.writeHead(isFound ? 200 : 404, { ...isolation, "content-type": mediaTypes[extname(path)] ?? "text/html" });
      if (path === "/" || !isFound) response.end(page);
      else createReadStream(file).pipe(response);
    });
    onTestFinished(() => void server.close());
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      if (address !== null && typeof address === "object") open(`http://127.0.0.1:${address.port}/`);
    });
  });
}

test("Chromium runs three threads, and chooses the tokens of one", async (context) => {
  const obstacle = missingTools([chromium]);
  if (obstacle !== null) return context.skip(obstacle);
  await compileTo(artefact, { model: demoFolder });
  const single = await openModel(artefact);
  const { tokens } = await single.createSession().complete(prompt, options);
  const found = await served((url) => {
    const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", `--user-data-dir=${join(folder, "profile")}`];
    const browser = spawn(findTool(chromium) ?? "", [...flags, url], { stdio: "ignore" });
    onTestFinished(async () => {
      browser.kill();
      await once(browser, "exit");
    });
  });
  expect(JSON.parse(await text(found))).toEqual({ isolated: true, threads: 3, tokens });
});
