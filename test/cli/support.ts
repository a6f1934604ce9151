/** The command line as a user has it: each call is a process of its own, run from source by the engine that runs the tests. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { demoFolder, root } from "../model/support.ts";

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Setting {
  readonly environment?: Readonly<Record<string, string>>;
  /** Go away after the first piece of output, as `| head -c 1` does. */
  readonly leaveEarly?: boolean;
  /** What stdin holds; by default there is none. */
  readonly input?: string;
}

/** Engines keep compiled sources here, which halves the start of the next process; keyed by content, so it is never stale. */
const compileCache = join(root, "node_modules", ".cache", "lfmc-tests");

/** Runs `lfmc` with these arguments, in the project's root. */
export async function lfmc(args: readonly string[], { environment = {}, leaveEarly = false, input = "" }: Setting = {}): Promise<Finished> {
  const child = spawn(process.execPath, [join(root, "compiler", "cli.ts"), ...args], {
    cwd: root,
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: compileCache, ...environment },
    stdio: ["pipe", "pipe", "pipe"],
  });
  // A program that ends without reading it closes the pipe.
  child.stdin.on("error", () => undefined).end(input);
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (piece: string) => {
    stdout += piece;
    if (leaveEarly) child.stdout.destroy();
  });
  child.stderr.setEncoding("utf8").on("data", (piece: string) => (stderr += piece));
  return await new Promise((resolve, reject) => {
    child.on("error", reject).on("close", (status) => {
      resolve({ status, stdout, stderr });
    });
  });
}

/** What a successful command printed; throws with its diagnostics where it failed or said anything beside its data. */
export async function output(args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await lfmc(args);
  if (status !== 0 || stderr !== "") throw new Error(`lfmc ${args.join(" ")} ended with ${status}: ${stderr}`);
  return stdout;
}

/** The JSON object that a successful command printed, and nothing else. */
export async function json(args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  return record(JSON.parse(await output([...args, "--json"])));
}

export function record(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error(`${JSON.stringify(value)} is no object`);
  return { ...value };
}

/** Flags of a compile of one module, where modules are not the point: four take their time. */
export const oneModule = ["--features", "simd128"];

/** Compiles the demo model, or another, with default options or more flags. */
export async function compileModel(folder: string, model: string = demoFolder, flags: readonly string[] = []): Promise<string> {
  await output(["compile", model, "-o", folder, ...flags]);
  return folder;
}
