/** The `wasm-simd` target. */
import type { Target, TargetVariant } from "../target.ts";
import { mostPages, pageBytes } from "./assembler.ts";
import { relaxed, simd128 } from "./atoms.ts";
import { emitKernels } from "./kernels.ts";
import { emitModule } from "./module.ts";
import { packageFiles } from "./package.ts";

/** Engines on x86-64 have sixteen. */
const vectors = { bytes: 16, registers: 16, prefetches: false };
const single: readonly TargetVariant[] = [
  { name: "simd128", features: ["simd128"], threads: false, atoms: [simd128], vectors },
  { name: "relaxed", features: ["simd128", "relaxed"], threads: false, atoms: [relaxed], vectors },
];
const threaded = single.map((variant): TargetVariant => ({ ...variant, threads: true }));

export const wasmSimd: Target = {
  name: "wasm-simd",
  variants: [...single, ...threaded],
  takenNames: new Set(),
  memory: { largest: mostPages[64] * pageBytes, page: pageBytes },
  // Hosts of static files and stores of edge workers take files of 25 MB; a caller that passes weights holds a part at a time.
  weights: { place: "inside", path: (part) => `weights/${String(part).padStart(5, "0")}.bin`, partBytes: 25_000_000, trailer: false },
  emit: (program, variant, options) => {
    const { name, features, threads } = variant;
    const emitted = emitModule(program, { ...options, name, features, threads });
    return {
      path: `model.${name}${threads ? "-threads" : ""}.wasm`,
      pieces: emitted.pieces,
      text: emitted.wat,
      features: emitted.features,
    };
  },
  files: packageFiles,
  emitKernels: (kernels, { threads: shared }, memoryBytes) => {
    return { kind: "module", ...emitKernels(kernels, { pages: memoryBytes / pageBytes, shared }) };
  },
  emitTimer: null,
};
