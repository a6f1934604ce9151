#!/usr/bin/env node
/**
 * The command line: flags in, diagnostics out, no logic. Data goes to stdout, progress and diagnostics to stderr. Exit status: 0 done,
 * 1 the input or the model is at fault, 2 usage.
 */
import { Command, CommanderError } from "commander";
import { batchCommand } from "./commands/batch.ts";
import { benchCommand } from "./commands/bench.ts";
import { chatCommand } from "./commands/chat.ts";
import { compileCommand } from "./commands/compile.ts";
import { exploreCommand } from "./commands/explore.ts";
import { exportCommand } from "./commands/export.ts";
import { forwardCommand } from "./commands/forward.ts";
import { inspectCommand } from "./commands/inspect.ts";
import { perplexityCommand } from "./commands/perplexity.ts";
import { runCommand } from "./commands/run.ts";
import { serveCommand } from "./commands/serve.ts";
import { tuneCommand } from "./commands/tune.ts";
import { verifyCommand } from "./commands/verify.ts";
import { exitStatus, report } from "./commands/report.ts";
import { packageVersion } from "./artefact/manifest.ts";

const program = new Command("lfmc")
  .description("Compiles Liquid AI LFM2 models into WebAssembly modules and C libraries, and runs them.")
  .version(packageVersion)
  .exitOverride()
  .configureHelp({ showGlobalOptions: true })
  .showHelpAfterError("(lfmc --help tells more)");

for (const command of [
  compileCommand,
  runCommand,
  chatCommand,
  serveCommand,
  batchCommand,
  forwardCommand,
  exportCommand,
  benchCommand,
  tuneCommand,
  exploreCommand,
  inspectCommand,
  verifyCommand,
  perplexityCommand,
])
  program.addCommand(command());
for (const command of program.commands) command.exitOverride();

// A reader that goes away (`lfmc … | head`) ends the program, quietly.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

try {
  await program.parseAsync();
} catch (error) {
  // commander has printed its own message by now; help and version are no errors.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else {
    report(error);
    process.exitCode = exitStatus(error);
  }
}
