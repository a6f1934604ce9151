/** Pieces in the origin private file system, a file each: in windows and workers alike. */
import { hasFunctions } from "../host.ts";
import type { PieceStore } from "./piece-store.ts";

/** Whether the host has such files and lets windows write them. */
export function hasOpfs(): boolean {
  const handle: unknown = Reflect.get(globalThis, "FileSystemFileHandle");
  return typeof handle === "function" && hasFunctions(handle.prototype, "createWritable");
}

/** A store in the folder `name`. */
export function opfsStore(name: string): PieceStore {
  let opening: Promise<FileSystemDirectoryHandle> | null = null;
  const folder = (): Promise<FileSystemDirectoryHandle> => (opening ??= openFolder(name));
  return {
    async get(hash) {
      const file = await (await folder()).getFileHandle(hash).catch(orNotFound);
      return file && new Uint8Array(await (await file.getFile()).arrayBuffer());
    },
    async put(hash, bytes) {
      const file = await (await folder()).getFileHandle(hash, { create: true });
      // What is written shows when the stream is closed, whole.
      const stream = await file.createWritable();
      await stream.write(bytes);
      await stream.close();
    },
    async keep(hashes) {
      const directory = await folder();
      const wanted = new Set(hashes);
      for await (const entry of directory.keys()) {
        if (!wanted.has(entry)) await directory.removeEntry(entry);
      }
    },
  };
}

async function openFolder(name: string): Promise<FileSystemDirectoryHandle> {
  return await (await navigator.storage.getDirectory()).getDirectoryHandle(name, { create: true });
}

function orNotFound(error: unknown): null {
  if (error instanceof DOMException && error.name === "NotFoundError") return null;
  throw error;
}
