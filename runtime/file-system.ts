/**
 * The host's files, where it has any, without an import: Node, Deno and Bun hand out their built-in modules by
 * `process.getBuiltinModule`. So one entry file serves every host, and bundlers for browsers and workers find nothing to resolve.
 */

export interface FileSystem {
  open(path: URL): Promise<FileHandle>;
  readFile(path: URL): Promise<Uint8Array>;
}

export interface FileHandle {
  read(target: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
  stat(): Promise<{ readonly size: number }>;
  close(): Promise<void>;
}

interface BuiltinModules {
  getBuiltinModule(name: string): unknown;
}

/** The host's file system, or null in browsers and edge workers. */
export function hostFileSystem(): FileSystem | null {
  const host: unknown = Reflect.get(globalThis, "process");
  if (!hasBuiltins(host)) return null;
  const files: unknown = host.getBuiltinModule("node:fs/promises");
  return isFileSystem(files) ? files : null;
}

function hasBuiltins(value: unknown): value is BuiltinModules {
  return typeof value === "object" && value !== null && "getBuiltinModule" in value && typeof value.getBuiltinModule === "function";
}

function isFileSystem(value: unknown): value is FileSystem {
  return typeof value === "object" && value !== null && "open" in value && "readFile" in value;
}
