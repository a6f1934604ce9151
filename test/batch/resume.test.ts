/** A batch that ends before its time goes on where it was, whatever was left of it; and what else may lie at its place. */
import { appendFile, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import type { BatchEngine } from "../../compiler/batch/engine.ts";
import { recoverJournal } from "../../compiler/batch/journal.ts";
import { refusal, workFolder } from "../model/support.ts";
import { batch, batchFiles, fakeLocalEngine, greedy, linesIn, type BatchFiles } from "./support.ts";

const folder = await workFolder();

const prompts = [
  { id: "é\u2028", tokens: [1, 4, 5] },
  { tokens: [1, 7], maxTokens: 3 },
  { id: { a: 1 }, tokens: [1, 99] },
  ...Array.from({ length: 9 }, (_, i) => ({ id: i, tokens: [1, 8 + i], ...(i === 4 && { max_tokens: 0 }) })),
];

/** What lies beside the output, without its name. */
async function beside({ output }: BatchFiles): Promise<readonly string[]> {
  const names = await readdir(dirname(output));
  return names.filter((name) => name.startsWith(basename(output))).map((name) => name.slice(basename(output).length));
}

/** Answers so many requests, one after the other, and then is gone. */
function failingAfter(count: number): BatchEngine {
  const run = fakeLocalEngine(1);
  return async function* (requests, settings) {
    let left = count;
    for await (const outcome of run(requests, settings)) {
      yield outcome;
      if (--left === 0) throw new Error("the power is gone");
    }
  };
}

describe("a batch that was cut short", () => {
  it("keeps the whole lines of its journal, wherever that was cut", async () => {
    const lines = [
      '{"index":0,"id":"é\u2028","error":{"code":"x","message":"y"}}',
      '{"index":1,"text":"","tokens":[7,8],"promptTokens":3}',
    ];
    const whole = Buffer.from([...lines, lines[1]?.replace('"index":1', '"index":2'), ""].join("\n"));
    const path = join(folder, "journal");
    for (let length = 0; length <= whole.length; length++) {
      await writeFile(path, whole.subarray(0, length));
      const left = whole.subarray(0, length).lastIndexOf(10) + 1;
      const count = whole.subarray(0, left).toString().split("\n").length - 1;
      const [promptTokens, tokens] = [3 * Math.max(0, count - 1), 2 * Math.max(0, count - 1)];
      expect(await recoverJournal(path)).toEqual({ lines: count, errors: Math.min(1, count), promptTokens, tokens });
      expect((await readFile(path)).length).toBe(left);
    }
  });

  it("gives the same bytes from there on", async () => {
    const files = await batchFiles(folder, "cut", prompts);
    await batch(files);
    const whole = await readFile(files.output);
    await rm(files.output);
    // The files of a job that was begun, of which the journal is then whatever a kill may leave.
    await expect(batch(files, { engine: failingAfter(4) })).rejects.toThrow("the power is gone");
    expect(await beside(files)).toEqual([".partial", ".partial.job"]);
    const job = await readFile(`${files.output}.partial.job`);
    for (let length = 0; length <= whole.length; length += 37) {
      await writeFile(`${files.output}.partial.job`, job);
      await writeFile(`${files.output}.partial`, whole.subarray(0, length));
      const { total, resumed, fresh } = await batch(files);
      const kept = whole.subarray(0, length).toString("latin1").split("\n").length - 1;
      expect([resumed, fresh.lines, total.lines, total.errors]).toEqual([kept, prompts.length - kept, prompts.length, 1]);
      expect(Buffer.compare(await readFile(files.output), whole)).toBe(0);
      expect(await beside(files)).toEqual([""]);
      await rm(files.output);
    }
  });

  it("is not misled by blocks that the disk lost", async () => {
    const files = await batchFiles(folder, "zeros", prompts);
    await batch(files);
    const whole = await readFile(files.output);
    await rm(files.output);
    await expect(batch(files, { engine: failingAfter(11) })).rejects.toThrow();
    const journal = await readFile(`${files.output}.partial`);
    journal.fill(0, 200, 300);
    await writeFile(`${files.output}.partial`, journal);
    const { resumed } = await batch(files);
    expect(resumed).toBeGreaterThan(0);
    expect(resumed).toBeLessThan(11);
    expect(Buffer.compare(await readFile(files.output), whole)).toBe(0);
  });

  it("goes on with another engine, but with nothing else that is other", async () => {
    const files = await batchFiles(folder, "other", prompts);
    await expect(batch(files, { engine: failingAfter(5) })).rejects.toThrow();
    const refused = async (options: Parameters<typeof batch>[1], what: string): Promise<void> => {
      const { code, message } = await refusal(() => batch(files, options));
      expect([code, message]).toEqual(["io/exists", expect.stringContaining(`another batch: ${what} differs`) as string]);
    };
    await refused({ maxTokens: 7 }, "settings.maxTokens");
    await refused({ seed: 1 }, "settings.seed");
    await refused({ settings: { ...greedy, topK: 7 } }, "settings.topK");
    await refused({ version: "1.0.1" }, "lfmc");
    await refused({ template: "{{ messages }}" }, "model.text");
    const input = await readFile(files.input, "utf8");
    await writeFile(files.input, input.replace("99", "98"));
    await refused({}, "input.sha256");
    await writeFile(files.input, input);
    expect((await batch(files, { engine: fakeLocalEngine(8) })).resumed).toBe(6);
  });
});

describe("the place of an output", () => {
  it("is not taken where something is there, unless that may be replaced", async () => {
    const files = await batchFiles(folder, "there", prompts);
    await writeFile(files.output, "precious");
    expect(await refusal(() => batch(files))).toMatchObject({ code: "io/exists" });
    await expect(batch(files, { overwrite: true, engine: failingAfter(2) })).rejects.toThrow();
    expect(await readFile(files.output, "utf8")).toBe("precious");
    await batch(files, { overwrite: true });
    expect(await linesIn(files.output)).toHaveLength(12);
    expect(await refusal(() => batch({ ...files, output: folder }, { overwrite: true }))).toMatchObject({ code: "io/exists" });
  });

  it("is the input's no more than another's", async () => {
    const files = await batchFiles(folder, "same", prompts);
    expect(await refusal(() => batch({ ...files, output: files.input }, { overwrite: true }))).toMatchObject({ code: "io/exists" });
  });

  it("is not where the prompts themselves lie, nor is what lies beside it", async () => {
    const files = await batchFiles(folder, "beside", prompts);
    const text = await readFile(files.input, "utf8");
    for (const ending of [".partial", ".partial.job"]) {
      const input = `${files.output}${ending}`;
      await writeFile(input, text);
      expect(await refusal(() => batch({ ...files, input }))).toMatchObject({ code: "io/exists", subject: files.output });
      expect(await readFile(input, "utf8")).toBe(text);
      await rm(input);
    }
  });

  it("is one process's at a time, and free once that is gone", async () => {
    const files = await batchFiles(folder, "shared", prompts);
    let second: unknown;
    const nosy: BatchEngine = async function* (requests, settings) {
      second = await refusal(() => batch(files));
      yield* fakeLocalEngine()(requests, settings);
    };
    // Left by processes that are no more, or whose number has another one now.
    await writeFile(`${files.output}.partial.lock-4194305-aa`, "12");
    await writeFile(`${files.output}.partial.lock-${process.pid}-bb`, "1");
    await batch(files, { engine: nosy });
    expect(second).toMatchObject({ code: "io/exists", message: expect.stringContaining(`process ${process.pid}`) as string });
    expect(await beside(files)).toEqual([""]);
  });

  it("keeps nothing of a batch that gave no line", async () => {
    const files = await batchFiles(folder, "nothing", prompts);
    await expect(batch(files, { openEngine: () => Promise.reject(new Error("no Ray")) })).rejects.toThrow("no Ray");
    expect(await beside(files)).toEqual([]);
    await writeFile(`${files.output}.partial`, "somebody's own\n");
    expect(await refusal(() => batch(files))).toMatchObject({ code: "io/exists" });
    expect(await readFile(`${files.output}.partial`, "utf8")).toBe("somebody's own\n");
  });
});

describe("a file of prompts that changes meanwhile", () => {
  /** Changes the file once its lines have been counted. */
  const changing = (change: () => Promise<void>): Parameters<typeof batch>[1] => ({
    openEngine: async () => {
      await change();
      return { run: fakeLocalEngine(), ahead: 8, close: () => Promise.resolve() };
    },
  });

  it("is what it was: of one that grows, the lines that were there are served", async () => {
    const files = await batchFiles(folder, "growing", prompts);
    const { total } = await batch(
      files,
      changing(() => appendFile(files.input, '{"tokens":[1]}\n')),
    );
    expect([total.lines, await linesIn(files.output)]).toEqual([12, expect.objectContaining({ length: 12 })]);
  });

  it("makes no output where it was cut or written anew", async () => {
    const files = await batchFiles(folder, "cut-input", prompts);
    const text = await readFile(files.input, "utf8");
    for (const other of [text.slice(0, text.indexOf("\n") + 1), text.replace("99", "98"), ""]) {
      await writeFile(files.input, text);
      const code = "io/unreadable";
      const cut = changing(() => writeFile(files.input, other));
      expect(await refusal(() => batch(files, cut))).toMatchObject({ code, subject: files.input });
      expect((await beside(files)).includes("")).toBe(false);
      await rm(`${files.output}.partial`, { force: true });
    }
  });
});

describe("lines", () => {
  it("of a model without a tokenizer are not asked for texts that end them", async () => {
    const files = await batchFiles(folder, "textless", prompts);
    const settings = { ...greedy, stop: ["x"] };
    expect(await refusal(() => batch(files, { settings }))).toMatchObject({ code: "run/input", subject: "--stop" });
    expect(await beside(files)).toEqual([]);
  });

  it("depend on no other line: each has its own seed, whatever the sessions", async () => {
    const files = await batchFiles(folder, "seeds", prompts);
    const settings = { ...greedy, temperature: 2 };
    const run = async (name: string, options: Parameters<typeof batch>[1]): Promise<readonly string[]> => {
      const output = join(folder, name);
      await batch({ ...files, output }, { settings, ...options });
      return await linesIn(output);
    };
    const [one, many, other] = [
      await run("seeds-1.jsonl", { engine: fakeLocalEngine(1) }),
      await run("seeds-8.jsonl", { engine: fakeLocalEngine(8) }),
      await run("seeds-9.jsonl", { engine: fakeLocalEngine(3), seed: 1 }),
    ];
    expect(many).toEqual(one);
    expect(other).not.toEqual(one);
    // Seeds count up: line 2 of the one is line 1 of the other.
    const shifted = await batchFiles(folder, "shifted", prompts.slice(1));
    await batch(shifted, { settings, seed: 1 });
    const indexed = one.slice(1).map((line, i) => line.replace(/"index":\d+/, `"index":${i}`));
    expect(await linesIn(shifted.output)).toEqual(indexed);
  });

  it("an empty file makes an empty output", async () => {
    const files = await batchFiles(folder, "empty", []);
    expect((await batch(files)).total.lines).toBe(0);
    expect(await readFile(files.output, "utf8")).toBe("");
  });
});
