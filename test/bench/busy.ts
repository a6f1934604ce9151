/** How much the machine's cores do, for measurements that others would disturb. */
import { readFileSync } from "node:fs";

const ticksPerSecond = 100;

/** Seconds of all cores together since the machine's start, idle ones and those that wait for a disk left out, those that the host took included. */
export function busySeconds(): number {
  const [line = ""] = readFileSync("/proc/stat", "utf8").split("\n");
  const [user = 0, nice = 0, system = 0, , , interrupt = 0, softInterrupt = 0, steal = 0] = line.split(/\s+/).slice(1).map(Number);
  return (user + nice + system + interrupt + softInterrupt + steal) / ticksPerSecond;
}

/** The same without what this process took. */
export function othersSeconds(): number {
  const { user, system } = process.cpuUsage();
  return busySeconds() - (user + system) / 1e6;
}
