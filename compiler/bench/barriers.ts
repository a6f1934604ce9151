/** What it costs the threads of a C artefact to wait for one another, asked of the library that is measured. */
import { hostForeignInterface, type ForeignFunctions, type ForeignInterface } from "../../runtime/library/foreign.ts";
import { librarySymbol } from "../../runtime/library/native-engine.ts";
import { internal } from "../errors.ts";
import { median, samplesOf, secondsOf } from "./timing.ts";

/** Of a decoded token; a field of `lfmc bench`'s records, of C alone. */
export interface BarrierCost {
  /** 0 on one thread. */
  readonly barriersPerToken: number;
  /** Of one barrier, where no thread comes late: the median over runs of many in a row. */
  readonly barrierSeconds: number;
}

/** A built library and the model that it is opened as. */
export interface BarrierSetting {
  /** The artefact's name. */
  readonly name: string;
  /** Paths. */
  readonly library: string;
  readonly weights: string;
  readonly variant: string;
  readonly threads: number;
}

const signatures = {
  arena_bytes: { takes: ["i32"], gives: "size" },
  create: { takes: ["size", "size", "size", "size", "i32", "size"], gives: "i32" },
  destroy: { takes: ["size"], gives: "void" },
  barriers: { takes: ["size"], gives: "i32" },
  run_barriers: { takes: ["size", "i32"], gives: "void" },
} as const;

type Library = ForeignFunctions<keyof typeof signatures>;

const barriersInRow = 2000;
const patience = { least: 11, most: 101, seconds: 0.2 };

/** Measures the barriers of a model's threads; null where the library is of a compiler that did not tell of them. */
export function measureBarriers(setting: BarrierSetting): BarrierCost | null {
  const foreign = hostForeignInterface([]) ?? internal("the library was measured, and cannot be called");
  const library = openLibrary(foreign, setting);
  if (library === null) return null;
  const arena = new ArrayBuffer(library.arena_bytes(setting.threads));
  const model = openModel(foreign, library, arena, setting);
  try {
    const barriersPerToken = library.barriers(model);
    if (barriersPerToken === 0) return { barriersPerToken, barrierSeconds: 0 };
    const samples = samplesOf(patience, () =>
      secondsOf(() => {
        library.run_barriers(model, barriersInRow);
      }),
    );
    return { barriersPerToken, barrierSeconds: median(samples) / barriersInRow };
  } finally {
    // Looking at the arena keeps it alive until here.
    if (arena.byteLength > 0) library.destroy(model);
  }
}

function openLibrary(foreign: ForeignInterface, { name, library }: BarrierSetting): Library | null {
  try {
    return foreign.open(library, signatures, (symbol) => librarySymbol(name, symbol));
  } catch {
    return null;
  }
}

/** The address of a model at the start of the arena. */
function openModel(foreign: ForeignInterface, library: Library, arena: ArrayBuffer, { weights, variant, threads }: BarrierSetting): number {
  const texts = new TextEncoder().encode(`${weights}\0${variant}\0`);
  const passed = new ArrayBuffer(8 + texts.length);
  new Uint8Array(passed).set(texts, 8);
  const at = foreign.addressOf(passed);
  const variantAt = at + 8 + texts.indexOf(0) + 1;
  const status = library.create(at, foreign.addressOf(arena), arena.byteLength, at + 8, threads, variantAt);
  if (status !== 0) internal(`the library that was measured cannot be opened again: status ${status}`);
  return Number(new DataView(passed).getBigUint64(0, true));
}
