/** Waits until nobody else uses the machine: two threads run at a fraction of their speed where anything else takes a core. */
import { setTimeout as sleep } from "node:timers/promises";
import { busySeconds } from "../busy.ts";

const sampleSeconds = 0.7;
/** Busy cores that count as none. */
export const quiet = 0.15;
const mostSamples = 60;

/** Resolves once the machine is idle, or after 42 seconds; to the cores that were busy at last. */
export async function waitForIdle(): Promise<number> {
  let busy = Infinity;
  for (let i = 0; i < mostSamples && busy >= quiet; i++) busy = await busyCores();
  return busy;
}

async function busyCores(): Promise<number> {
  const [before, begin] = [busySeconds(), performance.now()];
  await sleep(sampleSeconds * 1000);
  return (busySeconds() - before) / ((performance.now() - begin) / 1000);
}
