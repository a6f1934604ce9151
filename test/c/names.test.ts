/** Names that would break a C project are refused before anything is written; the others become legal names of files and of C. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { packageName } from "../../compiler/options.ts";
import { caseFolder } from "../golden/read.ts";
import { refusal, workFolder } from "../model/support.ts";

const folder = await workFolder();

test.each(["main", "weights", "all", "Math", "stdint", "m", "Http", "favicon.ico"])("%s", async (name) => {
  const output = join(folder, "refused");
  const error = await refusal(() => compile({ model: caseFolder("dense-tiny"), target: "c", name, output }));
  expect(error).toMatchObject({ code: "usage/flag", subject: "--name" });
  expect(await readdir(folder)).toEqual([]);
});

test("a model's folder may be called anything", () => {
  expect(["LFM2.5-1.2B", "my model", "…", ".hidden", "a/b", "HTTP", "node_modules"].map(packageName)).toEqual([
    "LFM2.5-1.2B",
    "my-model",
    "model",
    "model-hidden",
    "a-b",
    "model-HTTP",
    "model-node_modules",
  ]);
});

test("weights of a C artefact are one file", async () => {
  const error = await refusal(() =>
    compile({ model: caseFolder("dense-tiny"), target: "c", shardSize: 8192, output: join(folder, "shards") }),
  );
  expect(error).toMatchObject({ code: "usage/flag", subject: "--shard-size" });
  expect(await readdir(folder)).toEqual([]);
});
