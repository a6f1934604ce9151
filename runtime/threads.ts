/**
 * Workers that help a threaded module. They enter it once and stay; what they do there is the module's business. Here is how a host starts
 * them, notices that one ended, and ends them.
 */
import { untilAborted } from "./abort.ts";
import { LfmcError } from "./errors.ts";
import { builtinModule, hasFunctions } from "./host.ts";
import type { ThreadMessage, ThreadSeat } from "./thread.ts";

/** A host's worker, whichever kind it is. */
interface HostWorker {
  post(seat: ThreadSeat): void;
  /** At most one of them is called, once the worker can be of no more use. */
  onEnd(ended: (why: string) => void): void;
  onMessage(take: (message: ThreadMessage) => void): void;
  end(): void;
}

/** The most threads of a module, as it was emitted. */
export const mostThreads = 64;

/** Whether the host has workers and lets them share memory; a page must be cross-origin isolated for it. */
export function hostSharesMemory(): boolean {
  const isolated: unknown = Reflect.get(globalThis, "crossOriginIsolated");
  return (
    Reflect.has(globalThis, "SharedArrayBuffer") && isolated !== false && (nodeWorkers() !== null || Reflect.has(globalThis, "Worker"))
  );
}

/** Whether this thread may sleep: all may but a page's own. */
export function mayWait(): boolean {
  return !Reflect.has(globalThis, "document");
}

/** Some workers inside one module. */
export interface Helpers {
  /** Why they can no longer help; null while they can. */
  readonly fault: () => string | null;
  /** Ends them; the module must have been stopped. */
  end(): void;
}

/**
 * Starts a worker for each thread but the first, from the script at `entry`; resolves once all are inside. Throws `run/thread`,
 * `run/aborted`, and then has ended them all.
 */
export async function startHelpers(
  entry: URL,
  threads: number,
  { module, memory }: Omit<ThreadSeat, "thread">,
  signal?: AbortSignal,
): Promise<Helpers> {
  let fault: string | null = null;
  const workers: HostWorker[] = [];
  const end = (): void => {
    for (const worker of workers) worker.end();
  };
  const start = (thread: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        fault ??= why;
        reject(new LfmcError("run/thread", `cannot be started: ${why}`, { subject: entry.href, hint: startHint }));
      };
      try {
        const worker = hostWorker(entry);
        workers.push(worker);
        worker.onMessage((message) => {
          if ("ready" in message) resolve();
          else fail(message.fault);
        });
        worker.onEnd(fail);
        worker.post({ module, memory, thread });
      } catch (error) {
        fail(String(error));
      }
    });
  try {
    const starting = Promise.all(Array.from({ length: threads - 1 }, (_, i) => start(i + 1)));
    await untilAborted(starting, signal, entry.href);
  } catch (error) {
    end();
    throw error;
  }
  return { fault: () => fault, end };
}

const startHint = "Keep the artefact's folder whole, or load it with threads: 1.";

function hostWorker(entry: URL): HostWorker {
  const NodeWorker = nodeWorkers();
  // The process's own options are not for workers: Node refuses some of them there, as --input-type.
  return NodeWorker ? nodeWorker(new NodeWorker(entry, { execArgv: [] })) : webWorker(new Worker(entry, { type: "module" }));
}

interface NodeWorker {
  postMessage(seat: ThreadSeat): void;
  on(event: "message", take: (message: ThreadMessage) => void): void;
  on(event: "error", take: (error: unknown) => void): void;
  on(event: "exit", take: (code: number) => void): void;
  unref(): void;
  terminate(): unknown;
}

type NodeWorkerClass = new (entry: URL, options: { readonly execArgv: readonly string[] }) => NodeWorker;

/** Node's class of workers, which Deno and Bun have too; null in pages. */
function nodeWorkers(): NodeWorkerClass | null {
  const threads = builtinModule("node:worker_threads");
  return isWorkerModule(threads) ? threads.Worker : null;
}

function isWorkerModule(value: unknown): value is { readonly Worker: NodeWorkerClass } {
  return hasFunctions(value, "Worker");
}

function nodeWorker(worker: NodeWorker): HostWorker {
  return {
    post(seat) {
      worker.postMessage(seat);
    },
    onMessage(take) {
      worker.on("message", (message) => {
        take(message);
        // A process that is done must not wait for threads that wait for it.
        worker.unref();
      });
    },
    onEnd(ended) {
      worker.on("error", (error) => {
        ended(String(error));
      });
      worker.on("exit", (code) => {
        ended(`it ended with code ${code}`);
      });
    },
    end: () => void worker.terminate(),
  };
}

function webWorker(worker: Worker): HostWorker {
  return {
    post(seat) {
      worker.postMessage(seat);
    },
    onMessage(take) {
      worker.addEventListener("message", ({ data }: MessageEvent<ThreadMessage>) => {
        take(data);
      });
    },
    onEnd(ended) {
      worker.addEventListener("error", ({ message }) => {
        ended(message || "its script cannot be loaded");
      });
    },
    end() {
      worker.terminate();
    },
  };
}
