/**
 * Weights of unusual magnitude under q4_0: a tensor whose scales leave f16's normal range is moved by a power of two, one whose scales
 * span too much keeps f32 scales, and one may be zero altogether. In every form the module has the interpreter's bits.
 */
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { encodeSafetensors } from "../../compiler/commands/encode-safetensors.ts";
import { importModel } from "../../compiler/import/model.ts";
import { caseFolder } from "../golden/read.ts";
import {
  compileTo,
  contractInterpreter,
  firstDifference,
  forwardAll,
  interpretAll,
  openModel,
  someTokens,
  type Compiled,
  workFolder,
} from "./support.ts";

const folder = await workFolder();

/** What becomes of a weight; `row` is its row in the tensor. */
type Change = (value: number, row: number) => number;

const small: Change = (value) => value * 2 ** -12;
const large: Change = (value) => value * 2 ** 22;
const wide: Change = (value, row) => value * 2 ** (-10 * (row % 5));
const vanishing: Change = (value) => value * 2 ** -130;
const zero: Change = () => 0;

/** Form in which a changed tensor must have been packed: the power of two of its f16 scales, or f32 scales. */
type Form = "moved up" | "moved down" | "as they are" | "f32";

test.each<readonly [tensor: string, name: string, change: Change, form: Form]>([
  ["model.layers.0.conv.in_proj", "small", small, "moved up"],
  ["model.embed_tokens", "small", small, "moved up"],
  ["model.layers.2.feed_forward.w2", "small", small, "moved up"],
  ["model.layers.2.feed_forward.w3", "large", large, "moved down"],
  ["model.layers.1.self_attn.out_proj", "large", large, "moved down"],
  ["model.layers.1.self_attn.v_proj", "wide", wide, "f32"],
  ["model.layers.0.feed_forward.w1", "wide", wide, "f32"],
  ["model.embed_tokens", "wide", wide, "f32"],
  ["model.layers.3.feed_forward.w2", "vanishing", vanishing, "as they are"],
  ["model.layers.2.conv.out_proj", "zero", zero, "as they are"],
])("%s made %s has the interpreter's bits", async (tensor, name, change, form) => {
  const model = join(folder, `${tensor}-${name}`);
  await writeChanged(model, `${tensor}.weight`, change);
  const compiled = await compileTo(join(folder, `${tensor}-${name}-artefact`), { model, features: ["simd128"] });
  expect(await formOf(compiled, `${tensor}.weight`)).toBe(form);

  const opened = await openModel(compiled.folder);
  const tokens = someTokens(40, opened.manifest.model.vocabSize);
  const found = forwardAll(opened, tokens);
  expect(found.every((row) => row.every(Number.isFinite))).toBe(true);
  expect(firstDifference(found, interpretAll(await contractInterpreter(model, { quant: "q4_0" }), tokens))).toBeNull();
  await opened.dispose();
});

/** dense-tiny with one tensor changed, as a checkpoint in `model`. */
async function writeChanged(model: string, changed: string, change: Change): Promise<void> {
  await mkdir(model);
  await copyFile(join(caseFolder("dense-tiny"), "config.json"), join(model, "config.json"));
  const { store } = await importModel(caseFolder("dense-tiny"));
  try {
    const tensors = [...store.tensors.values()].map(async ({ name, shape }) => {
      const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
      const values = await store.readRows(name, 0, rows);
      const width = values.length / rows;
      return { name, shape, values: name === changed ? values.map((value, i) => change(value, Math.floor(i / width))) : values };
    });
    await writeFile(join(model, "model.safetensors"), encodeSafetensors(await Promise.all(tensors)));
  } finally {
    await store.close();
  }
}

/** How the packed tensor that holds `source` lies in the weights: its first f32 undoes the power of two. */
async function formOf({ folder: artefact, artefact: written, programs }: Compiled, source: string): Promise<Form> {
  const packed = written?.manifest.tensors.find(({ sources }) => sources.includes(source));
  const [part] = written?.manifest.weights ?? [];
  if (!packed || !part) throw new Error(`${source} was not packed`);
  if (programs.some(({ program }) => program.kernels.some(({ name }) => name.includes("q4_0s32")))) return "f32";
  const undo = (await readFile(join(artefact, part.path))).readFloatLE(packed.offset);
  if (undo === 1) return "as they are";
  return undo < 1 ? "moved up" : "moved down";
}
