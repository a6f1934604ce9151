/**
 * The first `depth` tokens of a sequence, evaluated once for all settings: the bits are the same on any number of threads, so that one setting
 * goes on from the slot's state that another wrote to a file. It is moved in pieces, and pieces of zeros are left out: a process holds no
 * more memory than if it had evaluated the tokens itself.
 */
import { closeSync, existsSync, openSync, readSync, writeSync } from "node:fs";
import type { Model } from "../../runtime/index.ts";
import { required } from "../errors.ts";
import { prefill, promptTokens, slot } from "./model.ts";

const pieceBytes = 65536;

/** Brings the measured slot to the state after the first `depth` of `promptTokens`: from the file, or else by evaluating them, and writes the file. */
export function fillSlot(model: Model, depth: number, path: string): void {
  const tokens = promptTokens(model, depth);
  // Finds the slot in the memory; the token is the sequence's first in either case.
  const state = slotBytes(model, required(tokens[0], "token"));
  if (existsSync(path)) {
    eachPiece(path, "r", state, (file, own, piece, at) => {
      readSync(file, piece, { position: at });
      if (piece.some((byte) => byte !== 0)) own.set(piece);
    });
  } else {
    prefill(model, tokens, 0);
    eachPiece(path, "wx", state, (file, own, piece, at) => {
      piece.set(own);
      if (piece.some((byte) => byte !== 0) || at + piece.length === state.length) writeSync(file, piece, 0, piece.length, at);
    });
  }
}

/** The state of the measured slot, in place. Evaluates `token` at its first position, which is how the memory is found. */
export function slotBytes(model: Model, token: number): Uint8Array {
  const logits = required(model.forward([{ token, slot, position: 0, wantsLogits: true }])[0], "logits");
  const { memory } = model.manifest;
  const start = logits.byteOffset - memory.logits.offset + memory.state.offset;
  return new Uint8Array(logits.buffer, start + slot * memory.state.slotBytes, memory.state.slotBytes);
}

/** Calls `visit` with each piece of `state`, a buffer of the same size (files do not take shared memory everywhere), and the piece's place. */
function eachPiece(
  path: string,
  flags: string,
  state: Uint8Array,
  visit: (file: number, own: Uint8Array, piece: Uint8Array, at: number) => void,
): void {
  const file = openSync(path, flags);
  const buffer = new Uint8Array(pieceBytes);
  for (let at = 0; at < state.length; at += pieceBytes) {
    const own = state.subarray(at, at + pieceBytes);
    visit(file, own, buffer.subarray(0, own.length), at);
  }
  closeSync(file);
}
