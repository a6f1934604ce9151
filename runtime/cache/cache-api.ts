/** Pieces in the Cache API, each the answer to a request that nobody makes. */
import type { PieceStore } from "./piece-store.ts";

/** Whether the host has the Cache API. */
export function hasCacheApi(): boolean {
  return Reflect.has(globalThis, "caches");
}

/** A store in the cache `name`. */
export function cacheApiStore(name: string): PieceStore {
  let opening: Promise<Cache> | null = null;
  const cache = (): Promise<Cache> => (opening ??= caches.open(name));
  return {
    async get(hash) {
      const response = await (await cache()).match(address(hash));
      return response ? new Uint8Array(await response.arrayBuffer()) : null;
    },
    async put(hash, bytes) {
      await (await cache()).put(address(hash), new Response(bytes));
    },
    async keep(hashes) {
      const open = await cache();
      const wanted = new Set(hashes.map(address));
      for (const request of await open.keys()) {
        if (!wanted.has(request.url)) await open.delete(request);
      }
    },
  };
}

function address(hash: string): string {
  return `https://lfmc.invalid/${hash}`;
}
