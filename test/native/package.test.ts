/** What a C artefact's README says works as it stands there. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { argmax } from "../../runtime/index.ts";
import { needs } from "../c/library/project.ts";
import { forwardAll, workFolder } from "../model/support.ts";
import { fakeModel } from "../runtime/support.ts";
import { writeFakeArtefact } from "./support.ts";

const folder = join(await workFolder(), "fake");

/** The first example of the README in `language`. */
function example(language: string): string {
  const text = readFileSync(join(folder, "README.md"), "utf8");
  return new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(text)?.[1] ?? "";
}

function shell(command: string): string {
  const { status, stdout, stderr } = spawnSync("sh", ["-ec", command], { cwd: folder, encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return stdout;
}

test("the C example compiles without a warning and finds the likeliest tokens; make builds what the README names", (context) => {
  needs(context, "make");
  writeFakeArtefact(folder);
  const { model } = fakeModel();
  const expected = [model.manifest.tokens.bos ?? 0];
  for (let i = 0; i < 16; i++) expected.push(argmax(forwardAll(model, expected).at(-1) ?? new Float32Array()));
  const [build = "", run = ""] = example("sh").split("\n");
  shell(build);
  expect(shell(run).trim()).toBe(expected.slice(1).join());
  writeFileSync(join(folder, "example.c"), example("c"));
  shell("cc -std=c99 -Wall -Wextra -Werror -pedantic example.c build/libfake.a -lm -lpthread -o example");
  expect(shell("./example")).toBe(
    expected
      .slice(1)
      .map((token) => `${token}\n`)
      .join(""),
  );
});
