/** An entry file run in a process of its own, which is given a job and tells what it finds by messages: fresh-job.ts is its other end. */
import { fork } from "node:child_process";
import { text } from "node:stream/consumers";
import { LfmcError as RuntimeError, type ErrorCode } from "../../runtime/index.ts";
import { internal, required } from "../errors.ts";

/** What the process tells in place of the rest where the runtime refuses. */
export interface RefusedJob {
  readonly kind: "refused";
  readonly code: ErrorCode;
  readonly fact: string;
  readonly subject: string;
  readonly hint: string;
}

export interface FreshOptions<Message> {
  /** Hears of each message as it comes. */
  readonly onMessage?: (message: Message) => void;
  /** Seconds after which the process is ended; by default it takes what it takes. */
  readonly limit?: number;
}

/**
 * Runs `entry` with `job`, which is passed as JSON, to its end, and returns its messages. Throws what the runtime threw there, and InternalError where
 * the process ended otherwise.
 */
export async function inFreshProcess<Message extends object>(
  entry: URL,
  job: unknown,
  isMessage: (value: unknown) => value is Message,
  { onMessage, limit }: FreshOptions<Message> = {},
): Promise<readonly Message[]> {
  const messages: Message[] = [];
  let refused: RefusedJob | null = null;
  const process = fork(entry, [JSON.stringify(job)], { stdio: ["ignore", "ignore", "pipe", "ipc"], timeout: limit && 1000 * limit });
  process.on("message", (message) => {
    if (isRefused(message)) refused = message;
    else if (isMessage(message)) {
      messages.push(message);
      onMessage?.(message);
    }
  });
  const ended = new Promise((resolve, reject) =>
    process.on("error", reject).on("close", (status, signal) => {
      resolve(signal ?? status);
    }),
  );
  const diagnostics = await text(required(process.stderr, "stderr"));
  const status = await ended;
  throwRefused(refused);
  return status === 0 ? messages : internal(`the measuring process ended with ${String(status)}: ${diagnostics}`);
}

function throwRefused(refused: RefusedJob | null): void {
  if (refused !== null) throw new RuntimeError(refused.code, refused.fact, refused);
}

function isRefused(value: unknown): value is RefusedJob {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "refused";
}
