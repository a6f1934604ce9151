/** `--evaluate CMD`: the user's command gives a config its quality. What it does wrong is that candidate's loss alone. */
import { spawn } from "node:child_process";

/** What the command said, or why it said nothing. */
export interface Verdict {
  readonly quality: number | null;
  readonly fault: string | null;
}

/** What the command is given. */
export interface EvaluatedConfig {
  /** Where the config lies. */
  readonly path: string;
  /** The same, as text. */
  readonly json: string;
}

/** More output than this is no figure. */
const longestOutput = 2 ** 20;

/**
 * Runs `sh -c command` with the config on its stdin and the config's path in LFMC_CONFIG. The last line of its stdout is the figure, higher being
 * better; its stderr is the user's to see. Exits other than 0, too much output, no number and more than `seconds` are faults. Then the command and
 * what it has started are ended.
 */
export function evaluateWith(command: string, { path, json }: EvaluatedConfig, seconds: number): Promise<Verdict> {
  return new Promise((resolve) => {
    // A group of its own, so that what the shell has started ends with it.
    const child = spawn("sh", ["-c", command], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, LFMC_CONFIG: path },
      detached: true,
    });
    let output = "";
    let fault: string | null = null;
    const end = (why: string): void => {
      fault ??= why;
      endGroup(child.pid);
    };
    const timer = setTimeout(() => {
      end(`took more than ${seconds} s`);
    }, 1000 * seconds);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.length > longestOutput) end("printed more than 1 MB");
    });
    // A command that reads none of its input closes it.
    child.stdin.on("error", () => undefined).end(json);
    child.on("error", (error) => {
      clearTimeout(timer);
      resolve({ quality: null, fault: error.message });
    });
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      resolve(verdictOf(output, fault ?? (status === 0 ? null : `ended with ${signal ?? String(status)}`)));
    });
  });
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

/** The figure in the last line that is not empty. */
function verdictOf(output: string, fault: string | null): Verdict {
  if (fault !== null) return { quality: null, fault };
  const last = output.trim().split("\n").at(-1)?.trim() ?? "";
  const quality = last === "" ? NaN : Number(last);
  return Number.isFinite(quality) ? { quality, fault: null } : { quality: null, fault: `printed ${shortened(last)}, not a number, last` };
}

function shortened(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
