/** A few of the bad inputs as a user meets them: exit status 1, one error with its way out on stderr, nothing on stdout, nothing written. */
import { mkdir, readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { lfmc } from "../cli/support.ts";
import { caseFolder } from "../golden/read.ts";
import { demoFolder } from "../model/support.ts";
import { refused, refusedCompile, valid, workFolder, writeFiles } from "./support.ts";

const folder = await workFolder();
const config = JSON.stringify(valid.config);
const damaged = join(folder, "damaged");
const tokens = join(folder, "tokens.json");
const tokenizer = await readFile(join(demoFolder, "tokenizer.json"), "utf8");

beforeAll(async () => {
  await writeFile(tokens, "[1,2,3]");
  await compile({ model: caseFolder("dense-tiny"), target: "wasm-simd", output: damaged, context: 32 });
  const manifest = join(damaged, "manifest.json");
  await writeFile(manifest, (await readFile(manifest, "utf8")).replace(/("rows":\s*\{\s*"offset":\s*)1024/, "$1512"));
});

describe("exit status 1", () => {
  test.each<readonly [string, () => Promise<readonly string[]>, RegExp]>([
    [
      "compile with a header of gigabytes",
      async () => {
        const file = Buffer.from([0, 0, 0, 0, 4, 0, 0, 0, 0x7b, 0x7d]);
        const model = await writeFiles(join(folder, "model"), { "config.json": config, "model.safetensors": file });
        return ["compile", model, "-o", join(folder, "out", "artefact")];
      },
      /17179869184 bytes/,
    ],
    ["run of an altered artefact", () => Promise.resolve(["run", damaged, "--tokens", "1,2"]), /manifest\.json: checksum/],
    ["inspect of an altered artefact", () => Promise.resolve(["inspect", damaged]), /manifest\.json: checksum/],
    [
      "forward into a folder",
      () => Promise.resolve(["forward", caseFolder("dense-tiny"), "--tokens", tokens, "-o", join(folder, "out")]),
      /cannot be written/,
    ],
  ])("%s", async (_, prepare, message) => {
    await writeFiles(join(folder, "out"), {});
    const args = await prepare();
    const before = await readdir(folder);
    const { status, stdout, stderr } = await lfmc(args);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^error: .*\nhint: .*\n$/);
    expect(await readdir(join(folder, "out"))).toEqual([]);
    expect((await readdir(folder)).toSorted()).toEqual(before.toSorted());
  });
});

describe("options of a compile", () => {
  test.each<readonly [string, Readonly<Record<string, number>>]>([
    ["--context", { context: 0 }],
    ["--context", { context: 1.5 }],
    ["--context", { context: NaN }],
    ["--context", { context: 2 ** 31 }],
    ["--prefill-chunk", { prefillChunk: -1 }],
    ["--sessions", { sessions: 65537 }],
    ["--max-memory", { maxMemory: NaN }],
    ["--max-memory", { maxMemory: 0 }],
    ["--shard-size", { shardSize: 0 }],
    ["--shard-size", { shardSize: 0.5 }],
    ["--shard-size", { shardSize: 1 }],
    ["--shard-size", { shardSize: 2 ** 31 }],
  ])("%s %j", async (flag, options) => {
    const error = await refusedCompile(join(folder, "options"), { model: caseFolder("dense-tiny"), ...options });
    expect(error).toMatchObject({ code: "usage/flag", subject: flag });
  });

  test("an output below a file", async () => {
    const output = join(tokens, "artefact");
    expect((await refused(() => compile({ model: caseFolder("dense-tiny"), target: "wasm-simd", output }))).code).toBe("io/exists");
    expect(await readFile(tokens, "utf8")).toBe("[1,2,3]");
  });
});

describe("a model's other files", () => {
  test.each<readonly [string, Readonly<Record<string, string>>, RegExp]>([
    ["a tokenizer that is cut short", { "tokenizer.json": tokenizer.slice(0, 1000) }, /not JSON/],
    ["a tokenizer of another kind", { "tokenizer.json": tokenizer.replace('"BPE"', '"Unigram"') }, /model is "Unigram"/],
    ["a tokenizer with another decoder", { "tokenizer.json": '{"model":{"type":"BPE"},"decoder":{"type":"Metaspace"}}' }, /byte-level/],
    ["a tokenizer with nothing in it", { "tokenizer.json": '{"model":{"type":"BPE"},"decoder":{"type":"ByteLevel"}}' }, /not a tokenizer/],
    ["a tokenizer that is a list", { "tokenizer.json": "[]" }, /byte-level/],
    ["a tokenizer with a larger vocabulary", { "tokenizer.json": tokenizer }, /outside the model's vocabulary/],
    ["a tokenizer's configuration that is no JSON", { "tokenizer.json": tokenizer, "tokenizer_config.json": "{" }, /not JSON/],
  ])("%s", async (_, files, message) => {
    const model = await writeFiles(join(folder, "model"), { "config.json": config, ...files });
    expect((await refusedCompile(join(folder, "options"), { model, randomWeights: 1 })).message).toMatch(message);
  });

  test("folders of their names are passed over", async () => {
    const model = await writeFiles(join(folder, "model"), { "config.json": config });
    for (const name of ["tokenizer.json", "generation_config.json", "LICENSE", "chat_template.jinja"]) await mkdir(join(model, name));
    const { artefact } = await compile({
      model,
      target: "wasm-simd",
      features: ["simd128"],
      output: join(folder, "plain"),
      randomWeights: 1,
      context: 32,
    });
    expect(artefact?.manifest.files).toEqual({ tokenizer: null, tokenizerConfig: null, chatTemplate: null });
  });

  test("a checkpoint that shrinks while it is packed leaves nothing", async () => {
    const model = await writeFiles(join(folder, "model"), { "config.json": config });
    const weights = join(model, "model.safetensors");
    await writeFile(weights, await readFile(join(caseFolder("dense-tiny"), "model.safetensors")));
    let shrunk: Promise<void> | null = null;
    const onProgress = (): void => void (shrunk ??= truncate(weights, 5000));
    expect((await refusedCompile(join(folder, "options"), { model, onProgress })).code).toBe("io/unreadable");
  });
});
