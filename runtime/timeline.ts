/**
 * A session's past: its tokens and how many of them the slot's state has seen. Tokens are appended at once and evaluated when
 * somebody needs them, so a sampled token costs nothing until the next one is wanted.
 *
 * Invariant: the slot's state is exactly that of `tokens[0 .. evaluated)`. Its rings hold `limits.rewind` rows more than a step reads, so it
 * can be taken back to any length of at least `earliest` by counting alone. Further back the rings start from a checkpoint, and the tokens
 * between it and the length wanted become pending again; the KV cache keeps every position and needs nothing.
 */
import { keepCheckpoint, nextCheckpoint, resumeCheckpoint } from "./checkpoints.ts";
import { type Row, type RowRunner, checkToken } from "./engine.ts";
import { LfmcError } from "./errors.ts";
import type { Manifest } from "./manifest.ts";

export interface TimelineState {
  readonly tokens: readonly number[];
  readonly evaluated: number;
  /** The shortest length that the rings reach back to. */
  readonly earliest: number;
}

export class Timeline {
  readonly slot: number;
  readonly #manifest: Manifest;
  readonly #runner: RowRunner;
  readonly #tokens: number[] = [];
  #evaluated = 0;
  #earliest = 0;
  #forwardPasses = 0;

  /** Takes over the slot and clears its state. */
  constructor(manifest: Manifest, runner: RowRunner, slot: number) {
    this.#manifest = manifest;
    this.#runner = runner;
    this.slot = slot;
    this.#clear();
  }

  get tokens(): readonly number[] {
    return this.#tokens;
  }

  /** Tokens that the state has not seen. */
  get pending(): number {
    return this.#tokens.length - this.#evaluated;
  }

  /** Forward calls made so far. */
  get forwardPasses(): number {
    return this.#forwardPasses;
  }

  /** Appends tokens without evaluating them; throws `run/context` where they do not fit, `run/input` where one is no token, and then appends none. */
  append(tokens: readonly number[]): void {
    this.assertFits(tokens);
    for (const token of tokens) this.#tokens.push(token);
  }

  /** Throws what `append` would throw. */
  assertFits(tokens: readonly number[]): void {
    const { context } = this.#manifest.limits;
    tokens.forEach((token, i) => {
      checkToken(token, this.#manifest.model.vocabSize, `tokens[${i}]`);
    });
    if (this.#tokens.length + tokens.length > context) {
      throw new LfmcError("run/context", `${this.#tokens.length} + ${tokens.length} tokens do not fit the context of ${context}`, {
        subject: "session",
        hint: "Shorten the prompt, reset the session, or compile with a larger --context.",
      });
    }
  }

  /**
   * The rows of the next pending tokens for a forward call: at most `most` of them, and no more than `logits` that want logits, which the
   * session's last `wanted` tokens do. `advance` tells that the call was made.
   */
  next(most: number, logits: number, wanted: number): readonly Row[] {
    // Further beyond a checkpoint, the rings would no longer hold the rows that it keeps.
    const reach = nextCheckpoint(this.#manifest.memory.state, this.#evaluated) + this.#manifest.limits.rewind;
    const firstWanted = this.#tokens.length - wanted;
    const end = Math.min(this.#evaluated + most, reach, Math.max(this.#evaluated, firstWanted) + logits);
    return this.#tokens.slice(this.#evaluated, end).map((token, i) => {
      const position = this.#evaluated + i;
      return { token, slot: this.slot, position, wantsLogits: position >= firstWanted };
    });
  }

  /** The first `count` rows of `next` have been run. */
  advance(count: number): void {
    const { limits, memory } = this.#manifest;
    const before = this.#evaluated;
    this.#forwardPasses++;
    this.#evaluated += count;
    this.#earliest = Math.max(this.#earliest, this.#evaluated - limits.rewind);
    for (let at = nextCheckpoint(memory.state, before); at <= this.#evaluated; at = nextCheckpoint(memory.state, at))
      keepCheckpoint(this.#runner.slotBytes(this.slot), memory.state, at);
  }

  /**
   * Drops the tokens from `length` on; throws `run/input` for no such length. Where the rings do not reach back, fewer tokens than the
   * checkpoints' interval become pending again.
   */
  rewind(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#tokens.length) {
      throw new LfmcError("run/input", `${length} is not a position from 0 to ${this.#tokens.length}`, {
        subject: "rewind",
        hint: "Give the number of tokens to keep.",
      });
    }
    if (length === 0) this.#clear();
    else if (length < this.#evaluated && length < this.#earliest) {
      this.#earliest = this.#evaluated = resumeCheckpoint(this.#runner.slotBytes(this.slot), this.#manifest.memory.state, length);
    }
    this.#tokens.length = length;
    this.#evaluated = Math.min(this.#evaluated, length);
  }

  /**
   * Keeps the longest prefix that the session shares with `tokens`, but not all of them, so that something is left to evaluate. Returns its
   * length.
   */
  keepPrefix(tokens: readonly number[]): number {
    const shared = sharedLength(this.#tokens, tokens.slice(0, -1));
    this.rewind(shared);
    return shared;
  }

  /** Makes the last token pending again, so that its logits can be asked for; throws as `rewind` does. */
  reconsiderLast(): void {
    const last = this.#tokens.at(-1);
    if (last === undefined || this.pending > 0) return;
    this.rewind(this.#tokens.length - 1);
    this.append([last]);
  }

  /** What `load` takes back, with the bytes of the slot. */
  snapshot(): TimelineState & { readonly block: Uint8Array } {
    const block = this.#runner.slotBytes(this.slot);
    return { tokens: [...this.#tokens], evaluated: this.#evaluated, earliest: this.#earliest, block };
  }

  /** Replaces everything by a snapshot of the same model; throws `artefact/mismatch` where it cannot be one, and then changes nothing. */
  load({ tokens, evaluated, earliest }: TimelineState, block: Uint8Array): void {
    const target = this.#runner.slotBytes(this.slot);
    const { model, limits } = this.#manifest;
    const counts = tokens.length <= limits.context && evaluated <= tokens.length && earliest <= evaluated;
    const reached = earliest >= evaluated - limits.rewind;
    if (!counts || !reached || block.length !== target.length || tokens.some((token) => token >= model.vocabSize)) {
      throw new LfmcError("artefact/mismatch", "does not fit this model's session slots", {
        subject: "session",
        hint: "Restore a session that this artefact saved.",
      });
    }
    target.set(block);
    this.#tokens.length = 0;
    this.append(tokens);
    this.#evaluated = evaluated;
    this.#earliest = earliest;
  }

  /** Kernels read rows before position 0 as what the memory holds there: zeros. */
  #clear(): void {
    this.#runner.slotBytes(this.slot).fill(0);
    this.#tokens.length = 0;
    this.#evaluated = 0;
    this.#earliest = 0;
  }
}

/** How many tokens two texts have in common at their beginning. */
export function sharedLength(a: readonly number[], b: readonly number[]): number {
  const differs = a.findIndex((token, i) => token !== b[i]);
  return differs < 0 ? a.length : differs;
}
