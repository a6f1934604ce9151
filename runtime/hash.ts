/**
 * sha256 by the host. Node, Deno and Bun hash bytes where they lie, shared memory included, and piece by piece; elsewhere crypto.subtle hashes a
 * copy of what is whole.
 */
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
  return canHash(crypto) ? crypto.createHash("sha256") : null;
}

/** The sha256 of `bytes` in hexadecimal. A host that hashes in place has done it when this returns. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  const hash = createHash();
  if (hash) {
    hash.update(bytes);
    return hash.digest("hex");
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes.slice()));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function canHash(value: unknown): value is Hashing {
  return hasFunctions(value, "createHash");
}
