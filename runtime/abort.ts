/** Waiting that a signal ends, whatever it is for: a caller's stream that never goes on, a cache that never answers. */
import { throwIfAborted } from "./errors.ts";

/**
 * What `promise` resolves to. Rejects with `run/aborted` as soon as the signal is aborted, whatever the promise does; whoever waited is
 * let go then, with all that it holds, though the promise may live on.
 */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined, subject: string): Promise<T> {
  if (!signal) return await promise;
  let wake: () => void = () => undefined;
  const aborted = new Promise<void>((resolve) => {
    wake = resolve;
    signal.addEventListener("abort", wake, { once: true });
    if (signal.aborted) wake();
  });
  try {
    await Promise.race([promise, aborted]).catch(() => undefined);
    throwIfAborted(signal, subject);
    return await promise;
  } finally {
    signal.removeEventListener("abort", wake);
  }
}
