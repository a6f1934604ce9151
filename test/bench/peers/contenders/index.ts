import type { Contender } from "./contender.ts";
import { lfmc } from "./lfmc.ts";
import { llamaBench } from "./llama-bench.ts";
import { llamaWasm } from "./llama-wasm.ts";
import { nodeLlamaCpp } from "./node-llama-cpp.ts";
import { plain } from "./plain.ts";
import { wllama } from "./wllama.ts";

/** Everyone, in the order in which they alternate. */
export const contenders: readonly Contender[] = [...lfmc, llamaBench, nodeLlamaCpp, llamaWasm, wllama, ...plain];
