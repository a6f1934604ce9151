/**
 * What this WebAssembly engine can do, found by validating four tiny modules, and the variant of the artefact that suits it.
 */
import { LfmcError } from "./errors.ts";
import type { Variant } from "./manifest.ts";

/** What a WebAssembly engine may have, by the names that the manifest uses. */
export type Feature = "simd128" | "relaxed" | "threads" | "memory64";

/** A module an engine accepts only if it has the feature. */
const probes: Readonly<Record<Feature, string>> = {
  // (module (func (result v128) (i8x16.splat (i32.const 0))))
  simd128: "0061736d010000000105016000017b030201000a080106004100fd0f0b",
  // (module (func (param v128) (result v128) (i32x4.relaxed_dot_i8x16_i7x16_add_s (local.get 0) (local.get 0) (local.get 0))))
  relaxed: "0061736d0100000001060160017b017b030201000a0d010b00200020002000fd93020b",
  // (module (memory 1 1 shared) (func (result i32) (i32.atomic.load (i32.const 0))))
  threads: "0061736d010000000105016000017f030201000504010301010a0a0108004100fe1002000b",
  // (module (memory i64 1))
  memory64: "0061736d010000000503010401",
};

/** The features of this engine. Validation generates no code, so this works where generating code is forbidden. */
export function detectFeatures(): ReadonlySet<string> {
  return new Set(Object.entries(probes).flatMap(([feature, hex]) => (WebAssembly.validate(bytesOfHex(hex)) ? [feature] : [])));
}

/** Which of an artefact's codes is asked for. */
export interface VariantWish {
  /** A variant's name; by default the one that uses most of the engine's features. */
  readonly variant?: string | undefined;
  /** Above 1 asks for a threaded module. */
  readonly threads?: number | undefined;
}

/** The variant to run on an engine with `features`; throws `run/variant` where there is none that fits, naming what is missing. */
export function selectVariant(variants: readonly Variant[], features: ReadonlySet<string>, wish: VariantWish): Variant {
  const missing = (variant: Variant): readonly string[] => variant.features.filter((feature) => !features.has(feature));
  const threads = threadCount(wish);
  const named = variants.filter(({ name }) => name === (wish.variant ?? name));
  if (wish.variant !== undefined && named.length === 0) return variantNamed(variants, wish.variant);
  const candidates = named.filter((variant) => variant.threads === threads > 1);
  if (candidates.length === 0) {
    throw refused(
      `no variant runs ${threads > 1 ? "several threads" : "a single thread"}`,
      `${threads > 1 ? "Leave threads at 1" : "Ask for more threads"}: the artefact has ${namesOf(variants)}.`,
    );
  }
  const [best] = candidates.filter((variant) => missing(variant).length === 0).toSorted((a, b) => b.features.length - a.features.length);
  if (best) return best;
  const lacking = [...new Set(candidates.flatMap(missing))].join(", ");
  if (wish.variant !== undefined) {
    throw refused(`"${wish.variant}" needs ${lacking}, which this engine lacks`, "Leave the variant to the runtime.");
  }
  throw refused(`this engine lacks ${lacking}, which every variant needs`, "Use a newer engine.");
}

/** The variant of that name; throws `run/variant` where the artefact has none. */
export function variantNamed(variants: readonly Variant[], name: string): Variant {
  const named = variants.find((variant) => variant.name === name);
  if (named) return named;
  throw refused(`"${name}" is not in the artefact`, `It has ${namesOf(variants)}.`);
}

/** Each name once: a threaded variant has that of the one beside it. */
function namesOf(variants: readonly Variant[]): string {
  return [...new Set(variants.map(({ name }) => name))].join(", ");
}

/** How many threads are asked for; throws `run/variant` where that is no number from 1 to `most`. */
export function threadCount({ threads = 1 }: VariantWish, most = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(threads) && threads >= 1 && threads <= most) return threads;
  throw new LfmcError("run/variant", `${threads} is not a number of threads`, {
    subject: "threads",
    hint: most === Number.MAX_SAFE_INTEGER ? "Give 1 or more." : `Give 1 to ${most}.`,
  });
}

function bytesOfHex(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: hex.length / 2 }, (_, i) => Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16));
}

function refused(fact: string, hint: string): LfmcError {
  return new LfmcError("run/variant", fact, { subject: "variant", hint });
}
