/**
 * The experts that emitted kernels choose, against the reference implementation: the steps of a plan run one by one, and after each router
 * its list is read where the plan has it, before another value takes the place.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { instantiateKernels } from "../../compiler/bench/instance.ts";
import type { CallRows } from "../../compiler/bench/kernel-cost.ts";
import { spaceStarts, valueOf } from "../../compiler/bench/kernels.ts";
import { compile } from "../../compiler/index.ts";
import { rowBytes } from "../../compiler/kernel/library/rows.ts";
import { roundUp } from "../../compiler/numeric/quantize.ts";
import { loadTarget } from "../../compiler/targets.ts";
import { isInstalled, toolchains } from "../bits/toolchains.ts";
import { caseFolder, goldenCases, readGolden, type GoldenCase } from "../golden/read.ts";
import { workFolder } from "./support.ts";

const folder = await workFolder();
// clang takes a quarter of gcc's time for portable code.
if (isInstalled(toolchains.clang.compiler)) process.env.CC = toolchains.clang.compiler;
const mixtures = goldenCases.filter((name) => name.startsWith("moe-"));
const places = [
  { target: "wasm-simd", variant: "simd128" },
  { target: "c", variant: "scalar" },
] as const;

test.each(mixtures.flatMap((name) => places.map((place) => ({ name, ...place }))))(
  "$name, f32, $target $variant: every token goes to the reference's experts",
  { timeout: 60_000 },
  async ({ name, target, variant }) => {
    const golden = readGolden(name);
    const chosen = await routedBy(name, target, variant, golden.ids);
    const expected = [...golden.tensors].flatMap(
      ([
        tensor,
        {
          data,
          shape: [, topK = 1],
        },
      ]) => {
        const layer = /^layer\.(\d+)\.selected_experts$/.exec(tensor)?.[1];
        return layer === undefined ? [] : [{ layer: Number(layer), lists: listsOf(data, topK) }];
      },
    );
    expect(expected.length).toBeGreaterThan(0);
    expect(chosen).toEqual(expected.toSorted((a, b) => a.layer - b.layer));
  },
);

interface Routing {
  readonly layer: number;
  /** Of each token, its experts in rising order. */
  readonly lists: readonly (readonly number[])[];
}

/** The reference lists experts by falling score. */
function listsOf(experts: ArrayLike<number>, topK: number): Routing["lists"] {
  const all = Array.from(experts);
  return Array.from({ length: all.length / topK }, (_, row) => all.slice(row * topK, (row + 1) * topK).toSorted((a, b) => a - b));
}

/** What each router chooses for a prompt, which is read in one call. */
async function routedBy(
  name: GoldenCase,
  targetName: (typeof places)[number]["target"],
  variantName: string,
  ids: readonly number[],
): Promise<readonly Routing[]> {
  const target = await loadTarget(targetName);
  const artefact = join(folder, `${name}-${targetName}`);
  const modules = targetName === "wasm-simd" ? ({ features: ["simd128"] } as const) : {};
  const options = {
    model: caseFolder(name),
    target: targetName,
    ...modules,
    quant: "f32",
    prefillChunk: ids.length,
    name: "routing",
  } as const;
  const { programs } = await compile({ ...options, output: artefact });
  const planned = programs.find(({ variant }) => variant.name === variantName);
  if (!planned) throw new Error(`no variant ${variantName}`);
  const { program, variant } = planned;
  const { memory } = program;
  const starts = spaceStarts(target, program);
  const machine = await instantiateKernels(target, variant, program.kernels, starts.end);
  const weightSpace = target.weights.place === "apart" ? starts.weights : 0;
  machine.memory.fill(0);
  machine.memory.set(await packedWeights(artefact), weightSpace + memory.weights.offset);
  const view = new DataView(machine.memory.buffer, machine.memory.byteOffset);
  ids.forEach((token, position) => {
    [token, 0, position, position === ids.length - 1 ? 1 : 0].forEach((field, i) => {
      view.setInt32(memory.rows.offset + position * rowBytes + 4 * i, field, true);
    });
  });

  const call: CallRows = { rows: ids.length, logits: 1, position: ids.length - 1 };
  const routings: Routing[] = [];
  for (const step of program.steps) {
    machine.functions.get(step.kernel)?.call(step.arguments.map((argument) => valueOf(argument, step, call, machine.base, starts)));
    const [, layer] = /^layer\.(\d+)\.router\.experts$/.exec(step.label) ?? [];
    if (layer === undefined) continue;
    const topK = Number(/^router_(\d+)of/.exec(step.kernel)?.[1]);
    const list = step.arguments.find((argument) => argument.kind === "address" && argument.note === step.label);
    if (list?.kind !== "address") throw new Error(`${step.label} has no place`);
    const stride = roundUp(topK, 16);
    const rows = ids.map((_, row) =>
      Array.from({ length: topK }, (_slot, slot) => view.getInt32(list.address + 4 * (row * stride + slot), true)),
    );
    routings.push({ layer: Number(layer), lists: rows });
  }
  return routings;
}

/** The packed weights of an artefact, its parts in order. */
async function packedWeights(artefact: string): Promise<Uint8Array> {
  const parts = await readdir(join(artefact, "weights")).catch(() => null);
  if (!parts) return await readFile(join(artefact, "weights.bin"));
  return Buffer.concat(await Promise.all(parts.toSorted().map((part) => readFile(join(artefact, "weights", part)))));
}
