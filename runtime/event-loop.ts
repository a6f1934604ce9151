/** Gives the host's event loop a turn between forward calls, so that timers, input and aborts are heard while a model runs. */
import { isBrowser } from "./host.ts";

/** Resolves in a later turn of the event loop, without the delay that hosts put on timers where they allow it. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof globalThis.setImmediate === "function") globalThis.setImmediate(resolve);
    else if (isBrowser()) byMessage(resolve);
    else setTimeout(resolve, 0);
  });
}

/** A message is a turn of its own, and browsers do not slow it down as they do nested timers. In edge workers it is no turn for input and output. */
function byMessage(resolve: () => void): void {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    resolve();
  };
  port2.postMessage(null);
}
