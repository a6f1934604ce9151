/** `lfmc serve`: an HTTP server with OpenAI's API. It runs until SIGTERM or SIGINT. */
import { Command } from "commander";
import { createChatTemplate, templateTokens } from "../../runtime/chat/index.ts";
import { LfmcError } from "../errors.ts";
import { isLoopback } from "../serve/access.ts";
import { startServer, type ApiServer } from "../serve/server.ts";
import { addExecutionFlags, type ExecutionFlags } from "./execution-flags.ts";
import { byteCount, decimal, wholeNumber } from "./flags.ts";
import { artefactManifest, assertCallable, openArtefact } from "./open-artefact.ts";
import { readText } from "../import/text-file.ts";
import { print, report, warn } from "./report.ts";

interface Flags extends ExecutionFlags {
  readonly host: string;
  readonly port: number;
  readonly apiKey?: string;
  readonly cors?: string;
  readonly alias?: string;
  readonly template?: string;
  readonly maxQueue: number;
  readonly maxBody: number;
  readonly timeout: number;
  readonly grace: number;
  readonly json?: boolean;
}

/** The most that a timer can wait, in seconds. */
const longest = 2 ** 31 / 1000 - 60;

export function serveCommand(): Command {
  const command = new Command("serve")
    .description("serve a model over HTTP, with OpenAI's API")
    .argument("<artefact>", "folder written by lfmc compile; its --sessions is how many requests run at a time")
    .option("--host <address>", "what to listen on; 0.0.0.0 lets in other machines", "127.0.0.1")
    .option("--port <n>", "0 takes any that is free", wholeNumber(0, 65535), 8080)
    .option("--api-key <key>", "what clients must send (default: the environment's LFMC_API_KEY, which ps does not show)")
    .option("--cors <origin>", "let pages of this origin ask; * for all")
    .option("--alias <name>", "the model's name in requests (default: the artefact's)")
    .option("--template <file>", "Jinja chat template, in place of the model's")
    .option("--max-queue <n>", "requests that may wait for a session", wholeNumber(), 256)
    .option("--max-body <size>", "largest body of a request", byteCount, 2 ** 20)
    .option("--timeout <s>", "most time for a request, waiting included", decimal(0.001, longest), 600)
    .option("--grace <s>", "time that running requests get when the server is to stop", decimal(0, longest), 30)
    .option("--json", "print address and model as JSON once requests are answered");
  return addExecutionFlags(command).action(run);
}

async function run(artefact: string, flags: Flags): Promise<void> {
  const { host, port, apiKey = process.env.LFMC_API_KEY, cors, maxQueue, maxBody, timeout, grace, json } = flags;
  if (apiKey === "")
    throw new LfmcError("usage/argument", "is empty", { subject: "API key", hint: "give one, or unset LFMC_API_KEY to let in all" });
  const source = flags.template === undefined ? null : await readText(flags.template, "give a Jinja chat template");
  const manifest = await artefactManifest(artefact);
  assertCallable(artefact, manifest);
  if (apiKey === undefined && !isLoopback(host)) warn([`${host} lets in other machines, and no --api-key is set`]);
  const limits = { maxQueue, maxBodyBytes: maxBody, timeoutSeconds: timeout };
  const server = await startServer({ host, port, apiKey, cors, ...limits, onFault: report });
  const { stopping, stopped } = stopOnSignal(server, grace);
  try {
    const model = await openArtefact(artefact, flags);
    try {
      const id = flags.alias ?? manifest.name;
      const template = source === null ? undefined : createChatTemplate(source, templateTokens(manifest, model.tokenizer));
      if (stopping.aborted) return;
      server.serve({ model, id, created: Math.floor(Date.now() / 1000), template });
      if (json) print(JSON.stringify({ url: server.url, model: id, sessions: manifest.limits.sessions }));
      else process.stderr.write(`serving ${id} at ${server.url}/v1\n`);
      await stopped;
    } finally {
      await model.dispose();
    }
  } finally {
    await server.stop(0);
  }
}

interface Stop {
  /** Aborts with the first signal. */
  readonly stopping: AbortSignal;
  /** Resolves when the server has stopped. */
  readonly stopped: Promise<void>;
}

/** Stops the server on a first signal; a second one ends the program. */
function stopOnSignal(server: ApiServer, graceSeconds: number): Stop {
  const controller = new AbortController();
  const stopped = new Promise<void>((resolve) => {
    const stop = (): void => {
      if (controller.signal.aborted) process.exit(1);
      controller.abort();
      void server.stop(graceSeconds).then(resolve);
    };
    process.on("SIGTERM", stop).on("SIGINT", stop);
  });
  return { stopping: controller.signal, stopped };
}
