/** The host's files, where it has any. */
import { builtinModule, hasFunctions } from "./host.ts";

export interface FileSystem {
  open(path: URL): Promise<FileHandle>;
  readFile(path: URL): Promise<Uint8Array>;
}

export interface FileHandle {
  read(target: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
  stat(): Promise<{ readonly size: number }>;
  close(): Promise<void>;
}

/** The host's file system, or null in browsers and edge workers. */
export function hostFileSystem(): FileSystem | null {
  const files = builtinModule("node:fs/promises");
  return isFileSystem(files) ? files : null;
}

/** The path of a file: URL as the host writes paths; null where the host has no files, or the URL names none. */
export function pathOfUrl(url: URL): string | null {
  const urls = builtinModule("node:url");
  return url.protocol === "file:" && hasFunctions(urls, "fileURLToPath") ? String(urls.fileURLToPath(url)) : null;
}

function isFileSystem(value: unknown): value is FileSystem {
  return hasFunctions(value, "open", "readFile");
}
