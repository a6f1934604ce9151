/**
 * sha256 by the host. Node, Deno and Bun hash bytes where they lie, shared memory included; elsewhere crypto.subtle hashes a copy, in a
 * thread of its own. A page that came by http has neither.
 */
import { LfmcError } from "./errors.ts";
import { builtinModule, hasFunctions } from "./host.ts";

export interface Hash {
  update(bytes: Uint8Array): unknown;
  digest(encoding: "hex"): string;
}

interface Hashing {
  createHash(algorithm: string): Hash;
}

/** A sha256 that takes bytes piece by piece, where they lie; null where the host has none. */
export function createHash(): Hash | null {
  const crypto = builtinModule("node:crypto");
  return canHashInPlace(crypto) ? crypto.createHash("sha256") : null;
}

/** Whether the host hashes at all. */
export function canHash(): boolean {
  return createHash() !== null || subtle() !== null;
}

/** Whether to check hashes: as wished, else where the host can. Throws `run/variant` where it is wished for and the host cannot. */
export function checksHashes(wish: boolean | undefined): boolean {
  if (wish !== true || canHash()) return wish ?? canHash();
  throw new LfmcError("run/variant", "this host hashes nothing: pages have crypto.subtle only in a secure context", {
    subject: "verify",
    hint: "Serve the page by https or from localhost, or leave verify out: then lengths alone are checked.",
  });
}

/** The sha256 of `bytes` in hexadecimal. A host that hashes in place has done it when this returns. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  const hash = createHash();
  if (hash) {
    hash.update(bytes);
    return hash.digest("hex");
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", isUnshared(bytes) ? bytes : bytes.slice()));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function subtle(): SubtleCrypto | null {
  const host: { readonly subtle?: SubtleCrypto } = crypto;
  return host.subtle ?? null;
}

function canHashInPlace(value: unknown): value is Hashing {
  return hasFunctions(value, "createHash");
}

function isUnshared(bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer;
}
