/**
 * What a target is: a name, the variants of code it can emit, and how a program becomes files. A target makes no choices of its own:
 * kernels, tiles and addresses are the plan's.
 */
import type { Manifest } from "../runtime/manifest.ts";
import type { DotAtom } from "../compiler/kernel/atom.ts";
import type { Kernel } from "../compiler/kernel/ir.ts";
import type { VectorMachine } from "../compiler/kernel/vector-machine.ts";
import type { Program, Space, Step } from "../compiler/plan/program.ts";

export interface TargetVariant {
  /** `simd128`, `avx2`, … */
  readonly name: string;
  /** What it always needs of an engine or a processor. */
  readonly features: readonly string[];
  /** Whether threads share its steps. */
  readonly threads: boolean;
  /** Dot atoms, best first. */
  readonly atoms: readonly DotAtom[];
  readonly vectors: VectorMachine;
}

/** One emitted unit: a module or a source file. */
export interface EmittedCode {
  /** File name in the artefact. */
  readonly path: string;
  /** The file, in pieces that follow one another: weights that it holds are not copied for each variant. */
  readonly pieces: readonly Uint8Array[];
  /** The variant's features, and what this program needs beside them: of a WebAssembly engine `memory64` for more than 4 GiB. */
  readonly features: readonly string[];
  /** Readable form (WAT), where asked for. */
  readonly text: string;
}

/** How the packed weights are laid out in files. */
export interface WeightFiles {
  /** In the module's memory, or in a space of their own: a file that is mapped. */
  readonly place: "inside" | "apart";
  /** The path of each part in the artefact; one name where there is one part alone. */
  readonly path: ((part: number) => string) | string;
  /** Bytes of a part where nothing else is asked for. */
  readonly partBytes: number;
  /** Bytes behind the tensors that tell the file from another model's: weightTrailer of artefact/weight-file. */
  readonly trailer: boolean;
}

/** A text file of the artefact. */
export interface PackageFile {
  readonly path: string;
  readonly text: string;
}

/** What the files round the code are written from. */
export interface PackageInput {
  readonly manifest: Manifest;
  /** The licence file taken along, if any. */
  readonly license: string | null;
  /** Source of the chat template, if any. */
  readonly chatTemplate: string | null;
  /** sha256 of the packed tensors. */
  readonly weightsHash: string;
  /** Whether a library is to be a Python package too. */
  readonly python: boolean;
}

/** Bare kernels: a WebAssembly module over an imported memory, with what it needs beside the variant's features, or a C source to be built. */
export type EmittedKernels =
  | { readonly kind: "module"; readonly binary: Uint8Array; readonly features: readonly string[] }
  | { readonly kind: "source"; readonly text: string };

/** Steps that a program of their own times one by one, and the spaces that they run in. */
export interface TimedSteps {
  readonly kernels: readonly Kernel[];
  readonly steps: readonly Step[];
  /** Of each space, in bytes. */
  readonly bytes: Readonly<Record<Space, number>>;
  /** Where the rows of a call begin in the memory. */
  readonly rowsOffset: number;
}

export interface Target {
  /** As in `--target`. */
  readonly name: Manifest["target"];
  readonly variants: readonly TargetVariant[];
  /** Names, in lower case, that an artefact cannot have. */
  readonly takenNames: ReadonlySet<string>;
  /** Largest memory that a program may have, in bytes, and its unit of allocation. */
  readonly memory: { readonly largest: number; readonly page: number };
  readonly weights: WeightFiles;
  /** Emits a variant's code for a program over a memory of `memoryBytes`; `text` asks for the readable form too. */
  readonly emit: (program: Program, variant: TargetVariant, options: EmitOptions) => EmittedCode;
  /** The text files round the code: entry points, build files. */
  readonly files: (input: PackageInput) => readonly PackageFile[];
  /** Emits bare kernels over a memory of `memoryBytes`, whole pages: for conformance tests and the machine's roofs. */
  readonly emitKernels: (kernels: readonly Kernel[], variant: TargetVariant, memoryBytes: number) => EmittedKernels;
  /** Emits the sources of a program that times steps; null where kernels are called from here, as a module's are. */
  readonly emitTimer: ((steps: TimedSteps, variant: TargetVariant) => readonly PackageFile[]) | null;
}

export interface EmitOptions {
  readonly memoryBytes: number;
  readonly text: boolean;
  /** The artefact's name. */
  readonly name: string;
  /** The packed weights, where the code is to hold them: modules can. */
  readonly weights?: Uint8Array | undefined;
}
