/**
 * The golden GGUF files: the model that each holds is the one beside it, its numbers are kept as they are, and its logits are the reference
 * implementation's with the dequantised weights. Artefacts have the interpreter's bits.
 */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseConfig } from "../../compiler/import/config.ts";
import { readJson } from "../../compiler/import/json-file.ts";
import { importModel } from "../../compiler/import/model.ts";
import { encodingNotes } from "../../compiler/import/encoding-notes.ts";
import { preparedGraph } from "../../compiler/pipeline.ts";
import { isInstalled, toolchains } from "../bits/toolchains.ts";
import { lfmc } from "../cli/support.ts";
import { compileTo, contractInterpreter, firstDifference, forwardAll, interpretAll, openModel, workFolder } from "../model/support.ts";
import { compileNative, openNative } from "../native/support.ts";
import { caseFolder, goldenTensor, largestDifference, readGolden, readSafetensors } from "./read.ts";
import { writeFile } from "node:fs/promises";

const folder = await workFolder();
const cases = ["dense-tiny", "moe-tiny"] as const;
const types = [
  { type: "F32", golden: "golden", keep: "f32" },
  { type: "Q8_0", golden: "golden.Q8_0", keep: "q8_0" },
  { type: "Q4_0", golden: "golden.Q4_0", keep: "q4_0" },
] as const;
const ggufOf = (name: (typeof cases)[number], type: string): string => join(caseFolder(name), `model.${type}.gguf`);

describe.each(cases)("%s", (name) => {
  test.each(types)("$type gives $golden's logits", async ({ type, golden }) => {
    const interpreter = await contractInterpreter(ggufOf(name, type), { quant: "keep", activations: "f32" });
    const logits = Float32Array.from(interpretAll(interpreter, readGolden(name).ids).flatMap((row) => [...row]));
    expect(largestDifference(logits, goldenTensor(name, golden, "logits"))).toBeLessThanOrEqual(1e-4);
  });

  test.each(types)("$type holds the model of the checkpoint beside it", async ({ type, keep }) => {
    const path = join(caseFolder(name), "config.json");
    const { config: expected } = parseConfig(await readJson(path), path);
    const model = await importModel(ggufOf(name, type));
    await model.store.close();
    expect(model.config).toEqual({ ...expected, dtype: null });
    expect(model.name).toBe(`model.${type}`);
    const matrices = [...model.store.tensors.values()].filter(({ keep: kept }) => kept === keep);
    expect(matrices.length).toBeGreaterThan(20);
    expect(model.warnings).toEqual([expect.stringContaining("tokenizer.ggml.merges is missing")]);
  });

  test.each([types[1], types[2]])("$type: artefacts have the interpreter's bits", { timeout: 120_000 }, async ({ type }) => {
    const model = ggufOf(name, type);
    const { ids } = readGolden(name);
    const expected = interpretAll(await contractInterpreter(model, {}), ids);
    const { folder: artefact } = await compileTo(join(folder, `${name}-${type}`), { model, features: ["simd128"] });
    const opened = await openModel(artefact);
    expect(firstDifference(forwardAll(opened, ids), expected)).toBeNull();
    await opened.dispose();
    if (name !== "dense-tiny" || type !== "Q4_0") return;
    if (isInstalled(toolchains.clang.compiler)) process.env.CC = toolchains.clang.compiler;
    const native = await openNative(await compileNative(join(folder, "native"), { model, target: "c" }));
    expect(firstDifference(forwardAll(native, ids), expected)).toBeNull();
    await native.dispose();
  });
});

test("says what it does with the types", async () => {
  const model = await importModel(ggufOf("dense-tiny", "Q4_0"));
  await model.store.close();
  const notes = (quant?: "q8_0") => encodingNotes(preparedGraph(model, quant ? { quant } : {}).graph, model.store.tensors);
  expect(notes()).toEqual(["25 matrices in Q4_0: kept bit for bit"]);
  expect(notes("q8_0")).toEqual(["25 matrices in Q4_0: kept, in groups of q8_0"]);
});

test("the command line reads it", async () => {
  const [tokens, logits] = [join(folder, "tokens.json"), join(folder, "logits.safetensors")];
  await writeFile(tokens, JSON.stringify(readGolden("dense-tiny").ids));
  const model = ggufOf("dense-tiny", "Q4_0");
  const { status } = await lfmc(["forward", model, "--quant", "keep", "--activations", "f32", "--tokens", tokens, "-o", logits]);
  expect(status).toBe(0);
  const found = readSafetensors(logits).get("logits")?.data ?? [];
  expect(largestDifference(found, goldenTensor("dense-tiny", "golden.Q4_0", "logits"))).toBeLessThanOrEqual(1e-4);
});
