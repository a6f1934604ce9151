/**
 * The whole program of a worker that helps a threaded module: it gets the module, the shared memory and its number in one message, says that it
 * is ready, enters the module and stays there until the module is stopped. Bundled as `thread.js`, which every WebAssembly artefact carries.
 */
import { builtinModule, hasFunctions } from "./host.ts";

/** What starts a thread. */
export interface ThreadSeat {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** From 1 on: 0 is the thread that calls `forward`. */
  readonly thread: number;
}

/** The worker's messages: ready, or why it is not or no longer. */
export type ThreadMessage = { readonly ready: true } | { readonly fault: string };

interface Port {
  postMessage(message: ThreadMessage): void;
}

function serve(port: Port, { module, memory, thread }: ThreadSeat): void {
  try {
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    if (!hasFunctions(exports, "serve", "fail")) throw new TypeError("the module has no threads");
    port.postMessage({ ready: true });
    try {
      exports.serve(thread);
    } catch (error) {
      exports.fail();
      throw error;
    }
  } catch (error) {
    port.postMessage({ fault: String(error) });
  }
}

const threads = builtinModule("node:worker_threads");
const parent: unknown = typeof threads === "object" && threads !== null ? Reflect.get(threads, "parentPort") : null;
if (hasFunctions(parent, "once", "postMessage")) {
  const post = (message: ThreadMessage): void => {
    parent.postMessage(message);
  };
  parent.once("message", (seat: ThreadSeat) => {
    serve({ postMessage: post }, seat);
  });
} else {
  const post = (message: ThreadMessage): void => {
    Reflect.apply(Reflect.get(globalThis, "postMessage"), globalThis, [message]);
  };
  globalThis.addEventListener(
    "message",
    ({ data }: MessageEvent<ThreadSeat>) => {
      serve({ postMessage: post }, data);
    },
    { once: true },
  );
}
