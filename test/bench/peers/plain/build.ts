/** The program of plain loops. */
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { peersFolder } from "../folders.ts";
import { cCompiler, runTool } from "../tools.ts";

/** What llama2.c's makefile compiles with: for no processor in particular, and every f32 sum in its order. */
export const plainFlags: readonly string[] = ["-O3"];

/** Compiles `plain.c` to `program`. Throws an Error with the compiler's complaints where that fails. */
export async function buildPlain(program: string): Promise<void> {
  await mkdir(dirname(program), { recursive: true });
  await runTool(cCompiler, [...plainFlags, join(peersFolder, "plain/plain.c"), "-o", program, "-lm"]);
}
