/**
 * One process at a time works on an output. Each that wants to makes a file of its own beside it and only then looks for others': of two that
 * come at once, at least one sees the other and gives up. The files of processes that are no more do not count.
 */
import { randomBytes } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isSystemFault, LfmcError } from "../errors.ts";

/** Claims the output at `path`. Returns what lets go of it. Throws io/exists where a process that runs has it. */
export async function claim(path: string): Promise<() => void> {
  const prefix = `${basename(path)}.lock-`;
  const folder = dirname(path);
  const name = `${prefix}${process.pid}-${randomBytes(4).toString("hex")}`;
  const release = (): void => {
    rmSync(join(folder, name), { force: true });
  };
  await writeFile(join(folder, name), startOf(process.pid), { flag: "wx" });
  try {
    for (const other of await readdir(folder)) {
      if (!other.startsWith(prefix) || other === name) continue;
      const pid = Number(other.slice(prefix.length).split("-")[0]);
      const start = await readFile(join(folder, other), "utf8").catch(() => "");
      if (!isRunning(pid, start)) rmSync(join(folder, other), { force: true });
      else {
        throw new LfmcError("io/exists", `is being written by process ${pid}`, {
          subject: path,
          hint: `wait for it, or stop it; where it is no lfmc batch, delete ${join(folder, other)}`,
        });
      }
    }
    return release;
  } catch (error) {
    release();
    throw error;
  }
}

/** Whether that process is the one that began at `start`: numbers are given again, after a restart of the machine to anything. */
function isRunning(pid: number, start: string): boolean {
  const found = startOf(pid);
  if (found === "ended") return false;
  // Without a time the number alone must do; this process's own is not another's.
  if (found === "" || start === "") return pid !== process.pid && isThere(pid);
  return found === start;
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return isSystemFault(error) && error.code === "EPERM";
  }
}

/** When a process began, in ticks since the machine did; empty where the system does not tell in a file. */
function startOf(pid: number): string {
  try {
    const status = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name, which is in parentheses, may hold anything; behind it come the state and 18 fields before the start.
    const [state, ...fields] = status.slice(status.lastIndexOf(")") + 2).split(" ");
    return state === "Z" || state === "X" ? "ended" : (fields[18] ?? "");
  } catch {
    return "";
  }
}
