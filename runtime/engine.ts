/**
 * What runs a model: one memory and one call. A WebAssembly instance is one engine, a native library another, a test's fake a
 * third; nothing above this file knows which. `RowRunner` is the only writer of rows and the only reader of logits.
 */
import { LfmcError } from "./errors.ts";
import type { Manifest } from "./manifest.ts";
import { noLikeliest } from "./sampler.ts";
import { rowBytes } from "./manifest-parse.ts";

/** What computes a model's rows, whatever it is made of. */
export interface Engine {
  /** The buffer holds the manifest's memory map, from `byteOffset` on (0 by default), and is never replaced: the memory does not grow. */
  readonly memory: { readonly buffer: ArrayBufferLike; readonly byteOffset?: number };
  /**
   * Runs the first `rowCount` rows; writes logits, and the likeliest token by them, of the `logitCount` rows that want them. Blocks until
   * done.
   */
  forward(rowCount: number, logitCount: number): void;
  /** Lets go of what the engine holds beside its memory: threads, files. Nothing is called after it. */
  close?(): void;
}

/** One token at one place of one session. */
export interface Row {
  /** Its id, below vocabSize. */
  readonly token: number;
  /** The session slot whose state it reads and writes, from 0. */
  readonly slot: number;
  /** Its place in the session, from 0; rows of a slot follow each other. */
  readonly position: number;
  /** Whether the logits of the token after it are computed. */
  readonly wantsLogits: boolean;
}

/** What a forward call computed after one row, valid until the next call. Throws `run/disposed` once the model is gone. */
export class Outcome {
  readonly #manifest: Manifest;
  readonly #memory: () => Engine["memory"];
  readonly #index: number;

  /** Of the call's `index`th row that wants logits. */
  constructor(manifest: Manifest, memory: () => Engine["memory"], index: number) {
    this.#manifest = manifest;
    this.#memory = memory;
    this.#index = index;
  }

  /** vocabSize f32: a view of the memory. */
  get logits(): Float32Array {
    const { offset, strideBytes } = this.#manifest.memory.logits;
    const { buffer, byteOffset = 0 } = this.#memory();
    return new Float32Array(buffer, byteOffset + offset + this.#index * strideBytes, this.#manifest.model.vocabSize);
  }

  /** The likeliest token, what `argmax` makes of the logits; throws `run/input` where none of them is a number. */
  get likeliest(): number {
    const { buffer, byteOffset = 0 } = this.#memory();
    const [token = -1] = new Int32Array(buffer, byteOffset + this.#manifest.memory.choices.offset + 4 * this.#index, 1);
    return token < 0 ? noLikeliest() : token;
  }
}

/**
 * Calls the engine with rows that the manifest's limits allow. Rows of one slot must follow each other in position. Nothing else holds the
 * engine, or a view of its memory, from one call to the next: what outlives a closed runner, sessions and generators among it, keeps no
 * memory.
 */
export class RowRunner {
  readonly #manifest: Manifest;
  /** null once closed. */
  #engine: Engine | null;

  /** Throws `artefact/mismatch` where the engine's memory is not the one that the manifest describes. */
  constructor(manifest: Manifest, engine: Engine) {
    const { bytes } = manifest.memory;
    const { buffer, byteOffset = 0 } = engine.memory;
    if (buffer.byteLength - byteOffset < bytes) {
      throw new LfmcError("artefact/mismatch", `has ${buffer.byteLength - byteOffset} bytes of memory, the plan needs ${bytes}`, {
        subject: "engine",
        hint: "Give it memory.bytes bytes, as the manifest says.",
      });
    }
    this.#manifest = manifest;
    this.#engine = engine;
  }

  /**
   * One forward call. Returns what it computed for each row that wants logits, in the rows' order, valid until the next call. Throws
   * `run/input` or `run/context`.
   */
  forward(rows: readonly Row[]): readonly Outcome[] {
    const engine = this.#open();
    const logitCount = this.#check(rows);
    const { buffer, byteOffset = 0 } = engine.memory;
    const view = new DataView(buffer, byteOffset + this.#manifest.memory.rows.offset, rows.length * rowBytes);
    rows.forEach((row, i) => {
      const at = i * rowBytes;
      view.setInt32(at, row.token, true);
      view.setInt32(at + 4, row.slot, true);
      view.setInt32(at + 8, row.position, true);
      view.setInt32(at + 12, row.wantsLogits ? 1 : 0, true);
    });
    engine.forward(rows.length, logitCount);
    const memory = (): Engine["memory"] => this.#open().memory;
    return Array.from({ length: logitCount }, (_, index) => new Outcome(this.#manifest, memory, index));
  }

  /** The state block of a slot: its KV cache and convolution rings. */
  slotBytes(slot: number): Uint8Array {
    const { offset, slotBytes } = this.#manifest.memory.state;
    const { buffer, byteOffset = 0 } = this.#open().memory;
    return new Uint8Array(buffer, byteOffset + offset + slot * slotBytes, slotBytes);
  }

  /** Closes the engine and lets go of it; every later call throws `run/disposed`. */
  close(): void {
    this.#engine?.close?.();
    this.#engine = null;
  }

  #open(): Engine {
    if (!this.#engine) throw new LfmcError("run/disposed", "has been disposed of", { subject: "model", hint: "Load it again." });
    // Logits are views of the memory: who transfers their buffer takes all of it away.
    if (this.#engine.memory.buffer.byteLength > 0) return this.#engine;
    throw new LfmcError("run/disposed", "has lost its memory: a buffer of logits was transferred", {
      subject: "model",
      hint: "Load it again, and copy logits before you transfer them.",
    });
  }

  /** Returns how many rows want logits. */
  #check(rows: readonly Row[]): number {
    const { limits } = this.#manifest;
    if (rows.length < 1 || rows.length > limits.prefillChunk) {
      throw new LfmcError("run/input", `${rows.length} rows in one call, the artefact takes 1 to ${limits.prefillChunk}`, {
        subject: "rows",
        hint: "Split the rows over several calls.",
      });
    }
    const positions = new Map<number, number>();
    let logitCount = 0;
    rows.forEach(({ token, slot, position, wantsLogits }, i) => {
      checkToken(token, this.#manifest.model.vocabSize, `rows[${i}]`);
      if (!isBelow(slot, limits.sessions)) throw outOfRange(i, `slot ${slot}`, `${limits.sessions} slots`);
      if (!isBelow(position, limits.context)) {
        throw new LfmcError("run/context", `position ${position} is outside the context of ${limits.context}`, {
          subject: `rows[${i}]`,
          hint: "Compile with a larger --context.",
        });
      }
      const before = positions.get(slot);
      if (before !== undefined && position !== before + 1)
        throw outOfRange(i, `position ${position}`, `position ${before + 1} of slot ${slot}`);
      positions.set(slot, position);
      if (wantsLogits) logitCount++;
    });
    if (logitCount > limits.logitRows) {
      throw new LfmcError("run/input", `${logitCount} rows want logits, the artefact gives at most ${limits.logitRows} a call`, {
        subject: "rows",
        hint: "Split the rows over several calls.",
      });
    }
    return logitCount;
  }
}

/** Throws `run/input` unless `token` is an id of the vocabulary. */
export function checkToken(token: number, vocabSize: number, subject: string): void {
  if (isBelow(token, vocabSize)) return;
  throw new LfmcError("run/input", `token ${token} is not an integer from 0 to ${vocabSize - 1}`, {
    subject,
    hint: "Encode the text with this model's own tokenizer.",
  });
}

function isBelow(value: number, limit: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < limit;
}

function outOfRange(row: number, found: string, allowed: string): LfmcError {
  return new LfmcError("run/input", `${found} where the call allows ${allowed}`, {
    subject: `rows[${row}]`,
    hint: "Rows of one session follow one another, in one of its slots.",
  });
}
