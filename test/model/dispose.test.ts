/**
 * A model gives its memory back: when it is disposed of, whatever its caller still holds, and when it does not come about, because a part of it is
 * wrong or its loading was aborted.
 */
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { findBun, findDeno, findNode20, type Engine } from "../engines.ts";
import { compileTo, root, workFolder } from "./support.ts";

const folder = await workFolder();
const artefact = pathToFileURL(join(folder, "artefact/"));
const sessions = 40;
let planBytes = 0;

beforeAll(async () => {
  const { memory } = await compileTo(join(folder, "artefact"), { model: join(root, "test/golden/data/dense-tiny"), sessions });
  planBytes = memory.bytes;
  // A worker that never says that it is ready.
  writeFileSync(new URL("silent.js", artefact), "setInterval(() => undefined, 1000);\n");
});

/** What a program beside this file prints. */
async function printed(path: string, args: readonly string[], program: string, ...more: readonly (string | number)[]): Promise<unknown> {
  const given = [...args, join(root, "test/model", program), artefact.href, ...more.map(String)];
  const { stdout } = await promisify(execFile)(path, given, { timeout: 50_000 });
  return JSON.parse(stdout);
}

interface Outcome {
  readonly code: string;
  readonly seconds: number;
  readonly cancelled: number;
  readonly collected: boolean;
}

/** How each case of memory.js ends. */
const codes: Readonly<Record<string, string>> = {
  disposed: "run/disposed",
  "aborted at the manifest": "run/aborted",
  "aborted at the module": "run/aborted",
  "aborted at the module's file": "run/aborted",
  "aborted at a shard": "run/aborted",
  "aborted in a shard": "run/aborted",
  "aborted in a run of shards": "run/aborted",
  "aborted at the tokenizer": "run/aborted",
  "aborted at the cache": "run/aborted",
  "aborted at the threads": "run/aborted",
  "an altered shard": "artefact/mismatch",
  "a shard that is cut short": "artefact/mismatch",
  "a module that is none": "artefact/mismatch",
  "no tokenizer, while a shard is on its way": "io/missing",
  "no tokenizer, once all else is there": "io/missing",
  "no weights, while threads do not start": "run/input",
  "a caller who fails at the end": "TypeError",
};
const cancelling = ["aborted in a shard", "aborted in a run of shards"];

describe("the memory goes, of a model and of one that does not come about,", () => {
  const engines: readonly (readonly [string, () => Engine, readonly string[], readonly number[]])[] = [
    ["in the pinned Node", () => ({ available: true, path: process.execPath }), ["--expose-gc"], [1, 2]],
    ["in Node 20", findNode20, ["--expose-gc"], [2]],
    ["in Deno", findDeno, ["run", "--no-prompt", "--allow-read", "--v8-flags=--expose-gc"], [2]],
    ["in Bun", findBun, [], [2]],
  ];
  const runs = engines.flatMap(([name, find, args, counts]) => counts.map((threads) => [name, threads, find, args] as const));
  test.for(runs)("%s, %i thread(s)", async ([name, threads, find, args], context) => {
    const engine = find();
    if (!engine.available) return context.skip(engine.reason);
    const found = new Map(Object.entries((await printed(engine.path, args, "memory.js", threads)) as Record<string, Outcome>));
    const each = <Value>(value: (outcome: Outcome) => Value): Record<string, Value> =>
      Object.fromEntries([...found].map(([key, outcome]) => [key, value(outcome)]));
    expect(each(({ code }) => code)).toEqual(codes);
    expect([...found].filter(([, { seconds }]) => seconds > 5)).toEqual([]);
    expect(cancelling.map((key) => found.get(key)?.cancelled)).toEqual([1, 1]);
    const kept = [...found].filter(([, { collected }]) => !collected).map(([key]) => key);
    // Bun's collector takes numbers on the stack for addresses, and keeps what lies there.
    if (name === "in Bun") expect(kept.length).toBeLessThan(4);
    else expect(kept).toEqual([]);
  });
});

test.each([1, 2])("50 cycles of load and dispose, %i thread(s), take no more than a few memories", async (threads) => {
  const peaks = (await printed(process.execPath, [], "cycles.js", threads, 50)) as readonly number[];
  expect(peaks).toHaveLength(50);
  const [first = 0] = peaks;
  expect(first).toBeGreaterThan(planBytes);
  expect(((peaks.at(-1) ?? 0) - first) / planBytes).toBeLessThan(20);
});
