/**
 * A saved session as bytes: magic "LFMS", version, model hash, lengths, tokens, the slot's state, CRC-32 of all before it. Little-endian.
 * It is accepted only by a model with the same hash, whole and unaltered; since results are bit-identical on every target, it
 * continues anywhere with the same bits.
 */
import { crc32 } from "./crc32.ts";
import { LfmcError } from "./errors.ts";
import type { Manifest } from "./manifest.ts";
import type { TimelineState } from "./timeline.ts";

const magic = 0x534d464c; // "LFMS"
const version = 1;
/** magic, version, 8 words of hash, token count, evaluated, earliest, state bytes. */
const headerBytes = 14 * 4;

/** A snapshot's bytes: headerBytes + 4 a token + the slot's block + 4. */
export function encodeSnapshot(manifest: Manifest, state: TimelineState, block: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(headerBytes + state.tokens.length * 4 + block.length + 4);
  const view = new DataView(bytes.buffer);
  const words = [
    magic,
    version,
    ...hashWords(manifest),
    state.tokens.length,
    state.evaluated,
    state.earliest,
    block.length,
    ...state.tokens,
  ];
  words.forEach((word, i) => {
    view.setUint32(i * 4, word, true);
  });
  bytes.set(block, words.length * 4);
  view.setUint32(bytes.length - 4, crc32(bytes.subarray(0, -4)), true);
  return bytes;
}

/** Reads what `encodeSnapshot` wrote; throws `artefact/invalid` for altered bytes, `artefact/mismatch` for another model's. */
export function decodeSnapshot(manifest: Manifest, bytes: Uint8Array): { readonly state: TimelineState; readonly block: Uint8Array } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (index: number): number => view.getUint32(index * 4, true);
  if (bytes.length < headerBytes + 4 || word(0) !== magic) throw invalid("is not a saved session");
  if (word(1) !== version) throw invalid(`has version ${word(1)}, this runtime reads ${version}`);
  if (crc32(bytes.subarray(0, -4)) !== view.getUint32(bytes.length - 4, true))
    throw invalid("is altered or cut short: its checksum is wrong");
  if (hashWords(manifest).some((expected, i) => word(2 + i) !== expected)) {
    throw new LfmcError("artefact/mismatch", "was saved by another model", {
      subject: "saved session",
      hint: `Restore it with the artefact that saved it; this one's model hash is ${manifest.model.hash.slice(0, 12)}…`,
    });
  }
  const tokenCount = word(10);
  const blockStart = headerBytes + tokenCount * 4;
  if (word(13) !== manifest.memory.state.slotBytes || bytes.length !== blockStart + word(13) + 4) throw invalid("has the wrong length");
  const tokens = Array.from({ length: tokenCount }, (_, i) => word(14 + i));
  return { state: { tokens, evaluated: word(11), earliest: word(12) }, block: bytes.subarray(blockStart, -4) };
}

function hashWords(manifest: Manifest): readonly number[] {
  return Array.from({ length: 8 }, (_, i) => Number.parseInt(manifest.model.hash.slice(i * 8, i * 8 + 8), 16));
}

function invalid(fact: string): LfmcError {
  return new LfmcError("artefact/invalid", fact, {
    subject: "saved session",
    hint: "Restore the bytes of Session.save as they were.",
  });
}
