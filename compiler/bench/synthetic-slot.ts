/**
 * The measured slot as if a whole context had been read, for timing alone: what a decoded token takes does not depend on the values that it
 * attends to, and reading a long context to learn it would take longer than everything else. Every page of the slot is touched, so that the
 * process holds what a real one would.
 */
import type { Model } from "../../runtime/index.ts";
import { promptTokens } from "./model.ts";
import { slotBytes } from "./slot-file.ts";
import { required } from "../errors.ts";

/**
 * What the state is made of. Whatever format begins at whatever byte, its sign and exponent are of these, so that it is a small normal number:
 * below 1.3 as f16, 0.03 as f32, and any byte as one of 8 bits.
 */
const bytes = [0x39, 0x3a, 0x3b, 0x3c, 0xb9, 0xba, 0xbb, 0xbc] as const;
const blockBytes = 65536;

/** Fills the measured slot's state, of every position, with small finite numbers that look random and are always the same. */
export function fillSlotSynthetically(model: Model): void {
  const state = slotBytes(model, required(promptTokens(model, 1)[0], "token"));
  const block = randomBlock();
  for (let at = 0; at < state.length; at += blockBytes) state.set(block.subarray(0, state.length - at), at);
}

/** The high bits of a linear congruential generator (Numerical Recipes' constants) choose among `bytes`. */
function randomBlock(): Uint8Array {
  let state = 1;
  return Uint8Array.from({ length: blockBytes }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return bytes[state >>> 29] ?? 0;
  });
}
