/** The system's C compiler: $CC where that is set, else the first of the usual names. */
import { LfmcError } from "../errors.ts";
import { firstLines, runCommand, wordsOf } from "./command.ts";

export interface Compiler {
  readonly command: string;
  /** Arguments that stand in $CC behind the command. */
  readonly args: readonly string[];
  /** What it compiles for, as `-dumpmachine` tells: `x86_64-linux-gnu`. */
  readonly machine: string;
  /** `gcc 12.2.0`, `clang 19.1.7`, or how it calls itself. */
  readonly version: string;
}

export type Architecture = "x86" | "arm" | "other";

/** The compiler that CC names, else cc, gcc or clang. Throws native/compiler where there is none. */
export async function findCompiler(): Promise<Compiler> {
  const asked = wordsOf(process.env.CC ?? "");
  const candidates = asked.length > 0 ? [asked] : [["cc"], ["gcc"], ["clang"]];
  for (const [command = "", ...args] of candidates) {
    const machine = await runCommand(command, [...args, "-dumpmachine"]);
    if (machine.status !== 0 || machine.stdout.trim() === "") continue;
    const { stdout } = await runCommand(command, [...args, "--version"]);
    return { command, args, machine: machine.stdout.trim(), version: versionOf(stdout) };
  }
  throw new LfmcError("native/compiler", "is no C compiler that can be run", {
    subject: candidates.map((words) => words.join(" ")).join(", "),
    hint: "install gcc or clang (Debian: apt-get install gcc), or name one by CC",
  });
}

/** The processors that a machine's name stands for. */
export function architectureOf(machine: string): Architecture {
  if (/^(x86_64|amd64|x64)\b/.test(machine)) return "x86";
  return /^(aarch64|arm64)\b/.test(machine) ? "arm" : "other";
}

/** Runs the compiler in `folder`. Throws native/compiler with its first complaints where it fails. */
export async function compileWith(compiler: Compiler, args: readonly string[], folder: string): Promise<void> {
  const { status, stderr } = await runCommand(compiler.command, [...compiler.args, ...args], folder);
  if (status === 0) return;
  throw new LfmcError("native/compiler", `fails: ${firstLines(stderr, 4) || `status ${status ?? "none"}`}`, {
    subject: [compiler.command, ...compiler.args].join(" "),
    hint: "gcc 12 or clang 16, or a later one, compiles every variant: name it by CC",
  });
}

function versionOf(text: string): string {
  const [line = ""] = text.split("\n");
  const clang = /clang version (\S+)/.exec(line)?.[1];
  if (clang !== undefined) return `clang ${clang}`;
  const gcc = text.includes("Free Software Foundation") ? /(\d+\.\d+\.\d+)\s*$/.exec(line)?.[1] : undefined;
  return gcc === undefined ? line.trim() : `gcc ${gcc}`;
}
