/**
 * Where pieces of the weights outlive the page. Pieces go by their sha256, and whoever takes one back hashes it again: so a store may
 * lose, cut or mix up what it was given, and pages may share it without a word to each other.
 */
import { untilAborted } from "../abort.ts";
import { LfmcError, throwIfAborted } from "../errors.ts";
import { hostFileSystem } from "../file-system.ts";
import { canHash } from "../hash.ts";
import { cacheApiStore, hasCacheApi } from "./cache-api.ts";
import { hasOpfs, opfsStore } from "./opfs.ts";

/** Keeps pieces of weights, of at most 4 MiB each, by their sha256 in hexadecimal. */
export interface PieceStore {
  /** The piece with this sha256, or null. */
  get(hash: string): Promise<Uint8Array | null>;
  /** Keeps a piece; the bytes are the store's from then on. */
  put(hash: string, bytes: Uint8Array<ArrayBuffer>): Promise<unknown>;
  /** Drops all pieces but these: the weights of another version. */
  keep(hashes: readonly string[]): Promise<unknown>;
}

/** A store of the host by its name, the caller's own, or none. */
export type CacheWish = "opfs" | "cache-api" | PieceStore | false;

/**
 * The store for the artefact of this name; null for none. By default there is one where the weights come by http(s) to a host without
 * files: the origin private file system, or the Cache API where there is no way to write to that.
 */
export function openStore(wish: CacheWish | undefined, name: string, isRemote: boolean): PieceStore | null {
  // What cannot be hashed when it comes back is of no use.
  const store = canHash() ? (wish ?? defaultStore(isRemote)) : false;
  if (store !== "opfs" && store !== "cache-api" && store && typeof store !== "object") {
    throw new LfmcError("run/input", `is ${String(store)}`, {
      subject: "cache",
      hint: 'Give "opfs", "cache-api", false or a store of your own.',
    });
  }
  if (store === "opfs") return opfsStore(`lfmc-${encodeURIComponent(name)}`);
  if (store === "cache-api") return cacheApiStore(`lfmc-${name}`);
  return store || null;
}

function defaultStore(isRemote: boolean): CacheWish {
  if (!isRemote || hostFileSystem() || !globalThis.isSecureContext) return false;
  if (hasOpfs()) return "opfs";
  return hasCacheApi() ? "cache-api" : false;
}

/**
 * The store, but it never fails, except with `run/aborted`: the first failure (no permission, no room beside the pieces that are `wanted`) ends its use.
 */
export function reliable(store: PieceStore, wanted: readonly string[], signal: AbortSignal | undefined): PieceStore {
  let works = true;
  const attempt = async <T>(run: () => Promise<T>): Promise<T | null> => {
    if (!works) return null;
    try {
      return await untilAborted(run(), signal, "cache");
    } catch {
      throwIfAborted(signal, "cache");
      works = false;
      return null;
    }
  };
  return {
    get: (hash) => attempt(() => store.get(hash)),
    // Where there is no room, the pieces of another version may be what takes it.
    put: (hash, bytes) => attempt(() => store.put(hash, bytes).catch(() => store.keep(wanted).then(() => store.put(hash, bytes)))),
    keep: (hashes) => attempt(() => store.keep(hashes)),
  };
}
