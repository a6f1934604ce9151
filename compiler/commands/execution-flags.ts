/** The flags that decide how an artefact runs, shared by the commands that run one. They never change a result. */
import type { Command } from "commander";
import { wholeNumber } from "./flags.ts";

/** The values of those flags as commander names them. */
export interface ExecutionFlags {
  readonly threads?: number;
  readonly variant?: string;
}

/** Adds `--threads` and `--variant`; `about` is put before their descriptions. */
export function addExecutionFlags(command: Command, about = ""): Command {
  return command
    .option("--threads <n>", `${about}threads to run on`, wholeNumber(1))
    .option("--variant <name>", `${about}code variant to run`);
}
