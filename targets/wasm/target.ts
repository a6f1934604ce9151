/** The `wasm-simd` target. */
import type { Target, TargetVariant } from "../target.ts";
import { pageBytes } from "./assembler.ts";
import { simd128 } from "./atoms.ts";
import { emitKernels } from "./kernels.ts";
import { emitModule } from "./module.ts";

const fixedSimd: TargetVariant = { name: "simd128", features: ["simd128"], threads: false, atoms: [simd128], vectorBytes: 16 };

export const wasmSimd: Target = {
  name: "wasm-simd",
  variants: [fixedSimd],
  memory: { largest: 65536 * pageBytes, page: pageBytes },
  emit: (program, variant, options) => {
    const { binary, wat } = emitModule(program, options);
    return { path: `model.${variant.name}.wasm`, binary, text: wat };
  },
  emitKernels: (kernels, { pages }) => emitKernels(kernels, { pages }),
};
