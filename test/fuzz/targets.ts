/** The list of targets: adding one here fuzzes it, and puts it into `npm test`. */
import type { Target } from "./target.ts";
import { config } from "./targets/config.ts";
import { gguf } from "./targets/gguf.ts";
import { manifest } from "./targets/manifest.ts";
import { safetensors } from "./targets/safetensors.ts";
import { session } from "./targets/session.ts";
import { template } from "./targets/template.ts";
import { tokenizer } from "./targets/tokenizer.ts";

export const targets: readonly Target[] = [safetensors, gguf, config, tokenizer, manifest, session, template];
