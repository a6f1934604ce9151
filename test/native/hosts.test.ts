/** A C artefact's own entry under every engine that can call a library, and what it says where it cannot. */
import { execFile } from "node:child_process";
import { symlinkSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { findBun, findDeno, findNode20, type Engine } from "../engines.ts";
import { root as project, workFolder } from "../model/support.ts";
import { fakeModel } from "../runtime/support.ts";
import { openNative, writeFakeArtefact } from "./support.ts";

const folder = await workFolder();
/** Where koffi is installed beside the artefact, and where it is not. */
const [withKoffi, without] = [join(folder, "with"), join(folder, "without")];
const settings = { maxTokens: 10, temperature: 0.8, seed: 4, ignoreEos: true };

const script = (artefact: string): string => `
import { load } from ${JSON.stringify(pathToFileURL(join(artefact, "index.js")).href)};
const runs = [];
for (const threads of [1, 3]) {
  const model = await load({ threads, verify: true });
  const session = model.createSession();
  const { tokens } = await session.complete([1, 2, 3], ${JSON.stringify(settings)});
  session.rewind(5);
  runs.push({ variant: model.variant.name, tokens, again: (await session.complete([], { ...${JSON.stringify(settings)}, maxTokens: 8 })).tokens });
  await model.dispose();
}
console.log(JSON.stringify(runs));
`;

let expected: unknown;

beforeAll(async () => {
  for (const place of [withKoffi, without]) {
    await mkdir(place);
    const artefact = join(place, "fake");
    writeFakeArtefact(artefact);
    await (await openNative(artefact)).dispose();
    writeFileSync(join(place, "script.mjs"), script(artefact));
  }
  symlinkSync(join(project, "node_modules"), join(withKoffi, "node_modules"));
  const session = fakeModel().model.createSession();
  const { tokens } = await session.complete([1, 2, 3], settings);
  session.rewind(5);
  const { tokens: again } = await session.complete([], { ...settings, maxTokens: 8 });
  expected = [1, 3].map(() => ({ variant: "scalar", tokens, again }));
});

const run = promisify(execFile);

async function runUnder(engine: string, args: readonly string[]): Promise<void> {
  const { stdout, stderr } = await run(engine, args);
  expect(stderr).toBe("");
  expect(JSON.parse(stdout)).toEqual(expected);
}

test("the pinned Node, with koffi", async () => {
  await runUnder(process.execPath, [join(withKoffi, "script.mjs")]);
});

describe("another engine:", () => {
  const engines: readonly (readonly [string, () => Engine, readonly string[]])[] = [
    ["Node 20, with koffi", findNode20, [join(withKoffi, "script.mjs")]],
    ["Deno", findDeno, ["run", "--no-prompt", "--allow-read", "--allow-ffi", join(without, "script.mjs")]],
    ["Bun", findBun, [join(without, "script.mjs")]],
  ];
  test.for(engines)("%s", async ([, find, args], context) => {
    const engine = find();
    if (engine.available) await runUnder(engine.path, args);
    else context.skip(engine.reason);
  });
});

test("Node without koffi says what is missing", async () => {
  const loading = run(process.execPath, [join(without, "script.mjs")]);
  await expect(loading).rejects.toThrow(/no way to call one[\s\S]*npm install koffi/);
});

test("an engine that nobody disposed of ends its threads before its memory goes", async () => {
  const text = `
import { readdirSync } from "node:fs";
import { load } from ${JSON.stringify(pathToFileURL(join(withKoffi, "fake", "index.js")).href)};
const threads = () => readdirSync("/proc/self/task").length;
const before = threads();
const start = async () => { (await load({ threads: 9 })).forward([{ token: 1, slot: 0, position: 0, wantsLogits: true }]); return threads(); };
const during = await start();
for (let i = 0; i < 50 && threads() >= during; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 20)); }
console.log(JSON.stringify({ begun: during - before >= 8, ended: during - threads() }));
`;
  writeFileSync(join(withKoffi, "forgotten.mjs"), text);
  const { stdout } = await run(process.execPath, ["--expose-gc", join(withKoffi, "forgotten.mjs")]);
  expect(JSON.parse(stdout)).toEqual({ begun: true, ended: 8 });
});
