/** Waits until nobody else uses the machine: two threads run at a fraction of their speed where anything else takes a core. */
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const ticksPerSecond = 100;
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
  const [before, begin] = [await busySeconds(), performance.now()];
  await sleep(sampleSeconds * 1000);
  return ((await busySeconds()) - before) / ((performance.now() - begin) / 1000);
}

/** Seconds of all cores together since the machine's start, idle ones and those that wait for a disk left out. */
async function busySeconds(): Promise<number> {
  const [line = ""] = (await readFile("/proc/stat", "utf8")).split("\n");
  const [user = 0, nice = 0, system = 0, , , interrupt = 0, softInterrupt = 0, steal = 0] = line.split(/\s+/).slice(1).map(Number);
  return (user + nice + system + interrupt + softInterrupt + steal) / ticksPerSecond;
}
