/** Other programs: a compiler, an emulator, an executable that was built. Nothing goes through a shell. */
import { spawn } from "node:child_process";

export interface Finished {
  /** null where the program cannot be started, or was killed. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. A program that cannot be started has a null status, and the reason on `stderr`. */
export function runCommand(command: string, args: readonly string[], folder?: string): Promise<Finished> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], cwd: folder });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (piece: string) => (stdout += piece));
    child.stderr.setEncoding("utf8").on("data", (piece: string) => (stderr += piece));
    child.on("error", (error) => {
      resolve({ status: null, stdout, stderr: error.message });
    });
    child.on("close", (status) => {
      resolve({ status, stdout, stderr });
    });
  });
}

/** The words of a command that a user wrote into the environment: `gcc -m64`. */
export function wordsOf(text: string): readonly string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}

/** The first `count` lines that say something, as one line. */
export function firstLines(text: string, count: number): string {
  const lines = text.split("\n").map((line) => line.trim());
  return lines
    .filter((line) => line !== "")
    .slice(0, count)
    .join(" | ");
}
