/**
 * The HTTP server and its life: it listens before the model is loaded, and when it is to stop, lets those that were taken end. Requests are
 * answered in `routes.ts`.
 */
import { createServer, type Server } from "node:http";
import { SessionPool } from "../../runtime/index.ts";
import { Admission, type AdmissionOptions } from "./admission.ts";
import { ClientGone, unavailable } from "./api-error.ts";
import { answerRequest, type AnswerOptions, type State } from "./routes.ts";
import type { ServedModel } from "./served-model.ts";

export interface ServerOptions extends AnswerOptions, Omit<AdmissionOptions, "sessions"> {
  /** 0: any that is free. */
  readonly port: number;
  /** A request must have come within so many seconds, its head within 10 of them; 30 by default. */
  readonly requestSeconds?: number;
}

export interface ApiServer {
  /** Such as http://127.0.0.1:8080. */
  readonly url: string;
  /** Requests are answered from now on; until then they get 503. */
  serve(model: ServedModel): void;
  /** Requests whose answer has not ended. */
  readonly running: number;
  /** Takes no more requests, lets those that run or wait end within `graceSeconds`, aborts the others, and closes. */
  stop(graceSeconds: number): Promise<void>;
}

const longestHeadSeconds = 10;

/** Listens. Rejects where the address is taken or none of this machine's. */
export async function startServer(options: ServerOptions): Promise<ApiServer> {
  const { requestSeconds = 30 } = options;
  let state: State = { kind: "loading" };
  const running = new Set<AbortController>();
  const server = createServer(
    {
      headersTimeout: Math.min(longestHeadSeconds, requestSeconds) * 1000,
      requestTimeout: requestSeconds * 1000,
      connectionsCheckingInterval: 500,
    },
    (request, response) => {
      const controller = new AbortController();
      running.add(controller);
      response.on("close", () => {
        if (!response.writableFinished) controller.abort(new ClientGone("left"));
        running.delete(controller);
      });
      void answerRequest({ request, response, options, state, signal: controller.signal });
    },
  );
  // An answer that has ended may wait in buffers for a client that does not read it.
  server.timeout = (options.timeoutSeconds + requestSeconds) * 1000;
  await listen(server, options);
  return {
    url: urlOf(server, options.host),
    serve(served) {
      const { sessions } = served.model.manifest.limits;
      state = { kind: "ready", served, admission: new Admission(new SessionPool(served.model), { ...options, sessions }) };
    },
    get running() {
      return running.size;
    },
    async stop(graceSeconds) {
      state = { kind: "stopping" };
      await emptied(running, graceSeconds);
      for (const controller of running) controller.abort(unavailable("The server is stopping.", "stopping"));
      // Time for the last words to those that were aborted.
      await emptied(running, 1);
      server.close();
      server.closeAllConnections();
    },
  };
}

function listen(server: Server, { host, port }: ServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function urlOf(server: Server, host: string): string {
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

const pollMilliseconds = 20;

/** Resolves when the set is empty or the time is over. */
async function emptied(running: ReadonlySet<unknown>, seconds: number): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (running.size > 0 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, pollMilliseconds));
}
