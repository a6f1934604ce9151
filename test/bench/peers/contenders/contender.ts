/** What the comparison knows of a contender. */
import type { Figures, Work } from "../figures.ts";

/** Models of the same shape, with the encoding of their matrices: one for llama.cpp, lfmc's artefacts by target, those of plain loops. */
export const encodings = {
  gguf: "q4_0",
  "wasm-simd": "q4_0",
  "c-x86": "q4_0",
  c: "q4_0",
  "plain-f32": "f32",
  "plain-int8": "int8",
} as const;
export type ModelKind = keyof typeof encodings;

export interface Contender {
  /** As `--only` has it. */
  readonly name: string;
  readonly title: string;
  /** Whether it is lfmc; the others are its peers. */
  readonly isOurs: boolean;
  /** Contenders in a browser are compared with each other alone. */
  readonly isInBrowser: boolean;
  /** Whether it decodes from a deep cache within minutes. */
  readonly goesDeep: boolean;
  /** It takes part in the first so many rounds alone. */
  readonly mostRounds: number;
  readonly model: ModelKind;
  /** Why it can't run here, and what to install; null where it can. */
  readonly obstacle: () => string | null;
  /** Builds what it needs, if that isn't there. Throws an Error where that fails. */
  readonly prepare: () => Promise<void>;
  /** What exactly is measured, with versions. */
  readonly version: () => Promise<string>;
  /** One repetition with the model at `path`, a file or an artefact's folder. Throws an Error where it fails. */
  readonly measure: (path: string, work: Work) => Promise<Figures>;
}

/** What holds of every peer outside of a browser but the plain loops. */
export const nodePeer = { isOurs: false, isInBrowser: false, goesDeep: true, mostRounds: Infinity, model: "gguf" } as const;
