/**
 * The C targets: portable C99, x86-64 and AArch64. They differ in the instruction sets that they have a unit for; one weights file and one
 * memory plan serve all units of an artefact.
 */
import { required } from "../../compiler/errors.ts";
import type { PackageInput, Target, TargetVariant } from "../target.ts";
import { amx } from "./isa/amx.ts";
import { avx2 } from "./isa/avx2.ts";
import { avx512Vnni } from "./isa/avx512-vnni.ts";
import { avxVnni } from "./isa/avx-vnni.ts";
import type { Isa } from "./isa/isa.ts";
import { neonDot } from "./isa/neon-dot.ts";
import { neonI8mm } from "./isa/neon-i8mm.ts";
import { neon } from "./isa/neon.ts";
import { scalar } from "./isa/scalar.ts";
import { cPackageFiles } from "./package.ts";
import { projectFiles, unitPath } from "./project.ts";
import { pythonFiles } from "./python-project.ts";
import { takenNames } from "./taken-names.ts";
import { emitTimer } from "./timer.ts";
import { emitKernelSource, emitUnit } from "./unit.ts";

/** The instruction sets of each target, worst first. */
export const instructionSets = {
  c: [scalar],
  "c-x86": [scalar, avx2, avxVnni, avx512Vnni, amx],
  "c-arm": [neon, neonDot, neonI8mm],
} as const satisfies Record<string, readonly Isa[]>;

/** No address of an artefact needs more: JavaScript's exact integers. */
const largestMemory = 2 ** 48;
const cacheLine = 64;

function variantOf({ name, targets, atoms, registers, registerCount }: Isa): TargetVariant {
  const vectors = { bytes: registers.at(-1) ?? cacheLine, registers: registerCount, prefetches: true };
  return { name, features: targets, threads: true, atoms, vectors };
}

function cTarget(name: keyof typeof instructionSets): Target {
  const sets: readonly Isa[] = instructionSets[name];
  const isaOf = (variant: TargetVariant): Isa =>
    required(
      sets.find((isa) => isa.name === variant.name),
      `instruction set ${variant.name}`,
    );
  return {
    name,
    variants: sets.map(variantOf),
    takenNames,
    memory: { largest: largestMemory, page: cacheLine },
    weights: { place: "apart", path: "weights.bin", partBytes: Infinity, trailer: true },
    emit: (program, variant, options) => {
      const text = emitUnit(program, isaOf(variant), options.name);
      return { path: unitPath(options.name, variant.name), pieces: [new TextEncoder().encode(text)], text, features: variant.features };
    },
    files: (input) => [...projectFiles(projectOf(input)), ...cPackageFiles(input), ...(input.python ? pythonFiles(input) : [])],
    emitKernels: (kernels, variant) => ({ kind: "source", text: emitKernelSource(kernels, isaOf(variant)) }),
    emitTimer: (steps, variant) => emitTimer(steps, isaOf(variant)),
  };
}

/** What the library's own files are written from. */
function projectOf({ manifest, weightsHash }: PackageInput): Parameters<typeof projectFiles>[0] {
  const { name, variants, model, limits, memory, tokens, lfmc } = manifest;
  return {
    name,
    variants: variants.map((variant) => variant.name),
    model: { type: model.type, parameters: model.parameters, vocabSize: model.vocabSize, hash: model.hash, eos: tokens.eos },
    limits,
    memory,
    threadBytes: memory.threadBytes,
    weights: { bytes: memory.weights.bytes, sha256: weightsHash },
    lfmcVersion: lfmc,
  };
}

export const cTargets: Readonly<Record<keyof typeof instructionSets, Target>> = {
  c: cTarget("c"),
  "c-x86": cTarget("c-x86"),
  "c-arm": cTarget("c-arm"),
};
