/** The peak memory of a process and its descendants, asked of Linux while they run. */
import { readFile, readdir } from "node:fs/promises";

const periodMilliseconds = 250;

/** Watches `pid` until the function it returns is called; that returns the largest resident set, in bytes, that any one of the processes had. */
export function watchPeakMemory(pid: number): () => number {
  let peak = 0;
  const look = async (): Promise<void> => {
    for (const each of await familyOf(pid)) peak = Math.max(peak, await peakOf(each));
  };
  const timer = setInterval(() => void look(), periodMilliseconds);
  return () => {
    clearInterval(timer);
    return peak;
  };
}

async function familyOf(pid: number): Promise<readonly number[]> {
  const tasks = await readdir(`/proc/${pid}/task`).catch(() => []);
  const lists = await Promise.all(tasks.map((task) => readOrEmpty(`/proc/${pid}/task/${task}/children`)));
  const children = lists.flatMap((list) => list.split(" ").filter((word) => word !== ""));
  const families = await Promise.all(children.map((child) => familyOf(Number(child))));
  return [pid, ...families.flat()];
}

async function peakOf(pid: number): Promise<number> {
  return Number(/VmHWM:\s+(\d+)/.exec(await readOrEmpty(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;
}

/** A process may end while it is looked at. */
function readOrEmpty(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}
