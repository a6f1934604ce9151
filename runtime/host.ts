/**
 * What the host brings along, without an import: Node, Deno and Bun hand out their built-in modules by `process.getBuiltinModule`. So one
 * entry file serves every host, and bundlers for browsers and workers find nothing to resolve.
 */

interface Process {
  getBuiltinModule(name: string): unknown;
  readonly platform: string;
}

/** One of the host's own modules; undefined or null where it has none of that name. */
export function builtinModule(name: string): unknown {
  return hostProcess()?.getBuiltinModule(name);
}

/** `linux`, `darwin`, `win32`, …; null in browsers and edge workers. */
export function hostPlatform(): string | null {
  return hostProcess()?.platform ?? null;
}

/** Whether the host is a page or a worker of one, and no edge worker: those start no workers of their own. */
export function isBrowser(): boolean {
  return hostProcess() === null && Reflect.has(globalThis, "Worker");
}

/** Whether `value` has functions of these names: what is asked of a module before it is trusted to be the one meant. */
export function hasFunctions<Name extends string>(
  value: unknown,
  ...names: readonly Name[]
): value is Record<Name, (...args: readonly unknown[]) => unknown> {
  const isThing = (typeof value === "object" && value !== null) || typeof value === "function";
  return isThing && names.every((name) => typeof Reflect.get(value, name) === "function");
}

function hostProcess(): Process | null {
  const host: unknown = Reflect.get(globalThis, "process");
  return isProcess(host) ? host : null;
}

function isProcess(value: unknown): value is Process {
  return hasFunctions(value, "getBuiltinModule");
}
