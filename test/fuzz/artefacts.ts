/** The small artefacts that fuzz targets load. */
import { compile } from "../../compiler/index.ts";
import { goldenPath } from "./models.ts";

/** Compiles a tiny model into `output`. */
export async function compileSmall(output: string, target: "wasm-simd" | "c"): Promise<void> {
  const features = target === "c" ? {} : { features: ["simd128" as const] };
  await compile({ model: goldenPath("dense-tiny"), target, output, context: 64, sessions: 2, prefillChunk: 8, ...features });
}
