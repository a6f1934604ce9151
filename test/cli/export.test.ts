/** `lfmc export` as a user types it. */
import { copyFile, lstat, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { caseFolder } from "../golden/read.ts";
import { demoFolder, shapesFolder, workFolder } from "../model/support.ts";
import { json, lfmc, output, record } from "./support.ts";

const folder = await workFolder();

test("writes the same file every time, and prints what is in it", async () => {
  const [first, second] = [join(folder, "a.gguf"), join(folder, "b.gguf")];
  const tensors = { Q4_0: 47, F32: 28 };
  const named = ["export", demoFolder, "--name", "demo"];
  expect(await json([...named, "-o", first])).toEqual({
    output: first,
    name: "demo",
    weightBytes: 3_905_024,
    tensors,
    notes: [],
    warnings: [],
  });
  expect(await output([...named, "-o", second])).toBe(`${second}: demo, 3905024 bytes of weights, tensors: 47 in Q4_0, 28 in F32\n`);
  expect((await readFile(second)).equals(await readFile(first))).toBe(true);
  const kept = await output(["export", first, "-o", second]);
  expect(kept).toContain("a, 3905024 bytes of weights");
  expect(kept).toContain("47 matrices in Q4_0: kept bit for bit");
});

test("a file is replaced when the new one is whole, also through a link to the model itself", async () => {
  const [real, link] = [join(folder, "real.gguf"), join(folder, "link.gguf")];
  const model = join(caseFolder("dense-tiny"), "model.Q8_0.gguf");
  await copyFile(model, real);
  await symlink(real, link);
  const { status, stderr } = await lfmc(["export", real, "-o", link]);
  expect(status, stderr).toBe(0);
  expect((await lstat(link)).isSymbolicLink()).toBe(true);
});

test("a budget chooses among types that the file has", async () => {
  const file = join(folder, "budget.gguf");
  const ids = join(folder, "ids.json");
  await writeFile(ids, JSON.stringify(Array.from({ length: 64 }, (_, i) => (i * i) % 97)));
  const model = caseFolder("dense-tiny");
  const finished = await lfmc(["export", model, "-o", file, "--budget", "5", "--calibrate", ids, "--json"]);
  const types = Object.keys(record(record(JSON.parse(finished.stdout)).tensors));
  expect(types).toContain("Q8_0");
  expect(types).not.toContain("Q3_0");
  const { status, stderr } = await lfmc(["export", model, "-o", file, "--budget", "4", "--calibrate", ids]);
  expect(status).toBe(2);
  expect(stderr).toContain("give 4.5 or more");
});

test("exports a shape alone, with generated weights", async () => {
  const config = JSON.parse(await readFile(join(caseFolder("moe-cold"), "config.json"), "utf8")) as Record<string, unknown>;
  const path = join(folder, "config.json");
  await writeFile(path, JSON.stringify({ ...config, hidden_size: 64 }));
  const file = join(folder, "shape.gguf");
  const { status, stderr } = await lfmc([
    "export",
    path,
    "--random-weights",
    "1",
    "--tensor-type",
    "*.w2.*=f16",
    "--quant",
    "q8_0",
    "-o",
    file,
  ]);
  expect(status, stderr).toBe(0);
  expect(stderr).toContain("warning: the experts have no bias; it is written as zeros, which llama.cpp asks for");
  expect(stderr).toContain("warning: the model has no tokenizer");
  const graph = await lfmc(["inspect", file, "--graph"]);
  expect([graph.status, graph.stdout.includes("router")]).toEqual([0, true]);
});

test.each<[string, readonly string[], number, string]>([
  ["a model that GGUF cannot say", [caseFolder("dense-odd")], 1, "dense-odd: conv_bias is true"],
  ["rows that are no whole groups", [join(shapesFolder, "..", "moe-cold")], 1, "which are no whole groups of 32"],
  ["an unknown format", [demoFolder, "--quant", "q5_0"], 2, "q5_0"],
  ["flags of a forward pass", [demoFolder, "--kv", "f16"], 2, "unknown option '--kv'"],
  ["a model that is not there", [join(folder, "none")], 1, "does not exist"],
])("refuses %s, and leaves nothing", async (_, args, expected, message) => {
  const empty = join(folder, `refused-${args.length}-${expected}-${message.length}`);
  await mkdir(empty);
  const { status, stdout, stderr } = await lfmc(["export", ...args, "-o", join(empty, "x.gguf")]);
  expect(stderr).toContain(message);
  expect([status, stdout, await readdir(empty)]).toEqual([expected, "", []]);
});

test("a folder is no file to write", async () => {
  const target = join(folder, "is-a-folder");
  await mkdir(target);
  const { status, stderr } = await lfmc(["export", caseFolder("dense-tiny"), "-o", target]);
  expect([status, await readdir(target)]).toEqual([1, []]);
  expect(stderr).toContain("cannot be written");
  expect((await readdir(folder)).filter((name) => name.includes("partial"))).toEqual([]);
});
