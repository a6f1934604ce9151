/** Programs that the contenders need and npm does not bring. Nothing here installs them: what is missing is named by its Debian package. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { firstLines, runCommand } from "../../../compiler/native/command.ts";

export interface Tool {
  /** Names under which the program goes. */
  readonly programs: readonly string[];
  /** The Debian package that has it. */
  readonly package: string;
}

export const cmake: Tool = { programs: ["cmake"], package: "cmake" };
export const ninja: Tool = { programs: ["ninja"], package: "ninja-build" };
export const compiler: Tool = { programs: ["c++"], package: "g++" };
export const cCompiler: Tool = { programs: ["gcc"], package: "gcc" };
export const make: Tool = { programs: ["make"], package: "make" };
export const pip: Tool = { programs: ["pip3", "pip"], package: "python3-pip" };
export const tar: Tool = { programs: ["tar"], package: "tar" };
export const emscripten: Tool = { programs: ["em++"], package: "emscripten" };
export const chromium: Tool = { programs: ["chromium", "chromium-browser", "google-chrome"], package: "chromium" };

/** The path of a tool's program, null where there is none. */
export function findTool({ programs }: Tool): string | null {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const paths = programs.flatMap((program) => folders.map((folder) => join(folder, program)));
  return paths.find((path) => existsSync(path)) ?? null;
}

/** What to install for `tools`, as one sentence; null where nothing is missing. */
export function missingTools(tools: readonly Tool[]): string | null {
  const missing = tools.filter((tool) => findTool(tool) === null);
  if (missing.length === 0) return null;
  const names = missing.map(({ programs }) => programs.join(" or ")).join(", ");
  return `needs ${names}: apt-get install ${missing.map((tool) => tool.package).join(" ")}`;
}

/** Runs a tool to its end and returns what it printed. Throws an Error with its first complaints where it fails. */
export async function runTool(tool: Tool, args: readonly string[], folder?: string): Promise<string> {
  const program = findTool(tool) ?? tool.programs[0] ?? "";
  const { status, stdout, stderr } = await runCommand(program, args, folder);
  if (status === 0) return stdout;
  const complaints = firstLines(`${stderr}\n${stdout.split("\n").slice(-4).join("\n")}`, 4);
  throw new Error(`${[program, ...args.slice(0, 2)].join(" ")}: ${complaints || `status ${status ?? "none"}`}`);
}

/** The C compiler by its own words: `gcc (Debian 12.2.0-14) 12.2.0`. Throws as runTool does. */
export async function cCompilerVersion(): Promise<string> {
  const [line = ""] = (await runTool(cCompiler, ["--version"])).split("\n");
  return line;
}
