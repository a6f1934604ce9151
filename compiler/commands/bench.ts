/** `lfmc bench`: an artefact's speed next to the machine's own roofs, or that of single kernels. */
import { Command } from "commander";
import { LfmcError } from "../errors.ts";

export function benchCommand(): Command {
  return new Command("bench")
    .description("measure an artefact")
    .argument("[artefact]", "folder written by lfmc compile")
    .action(() => {
      throw new LfmcError("usage/argument", "is not ready", { subject: "bench", hint: "come back in half an hour" });
    });
}
