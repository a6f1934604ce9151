/** Contenders run in processes of their own, one for each repetition: each starts cold, and its memory is its own. */
import { spawn } from "node:child_process";
import { basename } from "node:path";
import { firstLines } from "../../../compiler/native/command.ts";
import { watchPeakMemory } from "./peak-memory.ts";

export interface Finished {
  readonly stdout: string;
  readonly peakBytes: number;
}

const mostMilliseconds = 20 * 60 * 1000;
const mostCharacters = 300;

/** Runs a program to its end. Throws an Error with its complaint where it fails, or takes more than 20 minutes. */
export function runChild(program: string, args: readonly string[]): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], timeout: mostMilliseconds });
    const stopWatching = child.pid === undefined ? () => 0 : watchPeakMemory(child.pid);
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (piece: string) => (stdout += piece));
    child.stderr.setEncoding("utf8").on("data", (piece: string) => (stderr += piece));
    const fail = (fact: string): void => {
      reject(new Error(`${basename(program)}: ${fact}`));
    };
    child.on("error", (error) => {
      stopWatching();
      fail(error.message);
    });
    child.on("close", (status, signal) => {
      const peakBytes = stopWatching();
      if (status === 0) resolve({ stdout, peakBytes });
      else fail(complaint(stderr) || `ends with ${signal ?? `status ${status ?? "none"}`}`);
    });
  });
}

/** The line that names an error, else the first ones; never minified code, which Node quotes before it says what is wrong. */
function complaint(text: string): string {
  const lines = text.split("\n").filter((line) => line.length <= mostCharacters);
  return firstLines(lines.find((line) => /Error\b.*:/.test(line)) ?? lines.join("\n"), 4);
}

/** The last line that a program printed. */
export function lastLine(text: string): string {
  return text.trimEnd().split("\n").at(-1) ?? "";
}
