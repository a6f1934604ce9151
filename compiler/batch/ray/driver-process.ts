/** The Python program that talks to Ray, as a process: lines of JSON to its stdin and from its stdout. It ends when lfmc does. */
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { internal, LfmcError } from "../../errors.ts";
import type { BatchCompletion } from "../engine.ts";

/** What the cluster comes to. */
export interface Ready {
  readonly workers: number;
  /** Of each worker. */
  readonly threads: number;
  /** How many requests may wait for the answer to the first of them. */
  readonly ahead: number;
}

/** A line of the driver's. */
type Message =
  | { readonly ready: Ready }
  | { readonly failed: { readonly subject: string; readonly fact: string; readonly hint: string } }
  | { readonly ended: true }
  | BatchCompletion;

/** Milliseconds that Ray gets to end what it has started. */
const patience = 15_000;
const keptComplaints = 5;

export class DriverProcess {
  readonly #python = process.env.LFMC_PYTHON ?? "python3";
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<string>;
  readonly #complaints: string[] = [];

  /** Starts it. `note` hears what Ray tells of worker processes that died. */
  constructor(note: (text: string) => void) {
    const script = fileURLToPath(new URL("python/driver.py", import.meta.url));
    // A session of its own: Ctrl-C is for lfmc, with whose pipe it ends.
    this.#child = spawn(this.#python, ["-B", script], { stdio: ["pipe", "pipe", "pipe"], detached: true });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#ended = new Promise((resolve) => {
      this.#child.on("error", (error) => {
        resolve(error.message);
      });
      this.#child.on("close", (status, signal) => {
        resolve(signal ?? `status ${status ?? "none"}`);
      });
    });
    // The end of its stdout says what there is to say.
    this.#child.stdin.on("error", () => undefined);
    createInterface({ input: this.#child.stderr }).on("line", (line) => {
      this.#hear(line, note);
    });
  }

  /** Sends a line, no faster than the driver reads. */
  async send(message: object): Promise<void> {
    await this.#write(JSON.stringify(message));
  }

  /** There are no more requests. */
  async endRequests(): Promise<void> {
    await this.#write("");
  }

  /** Resolves when the workers can be given requests. Throws native/machine where there is no Python, Ray or cluster. */
  async ready(): Promise<Ready> {
    const message = await this.#next();
    return "ready" in message ? message.ready : internal("the driver does not begin with what it has");
  }

  /** Answers, in any order, up to the last. Throws native/machine where the job cannot go on. */
  async *answers(): AsyncGenerator<BatchCompletion, void, void> {
    for (;;) {
      const message = await this.#next();
      if ("ended" in message) return;
      yield "index" in message ? message : internal("the driver is ready twice");
    }
  }

  /** Ends it, and the cluster that it started. */
  async close(): Promise<void> {
    this.#child.stdin.destroy();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), patience);
    await this.#ended;
    clearTimeout(timer);
  }

  /** Once the line is gone, or cannot go any more. */
  #write(line: string): Promise<void> {
    return new Promise((resolve) => {
      this.#child.stdin.write(`${line}\n`, () => {
        resolve();
      });
    });
  }

  async #next(): Promise<Exclude<Message, { readonly failed: unknown }>> {
    const line = await this.#lines.next();
    if (line.done) throw await this.#broken();
    const message = JSON.parse(line.value) as Message;
    if (!("failed" in message)) return message;
    const { subject, fact, hint } = message.failed;
    throw new LfmcError("native/machine", fact, { subject, hint });
  }

  async #broken(): Promise<LfmcError> {
    const how = await this.#ended;
    if (this.#child.pid === undefined) {
      return new LfmcError("native/machine", `cannot be run: ${how}`, {
        subject: this.#python,
        hint: "install Python 3.9 or later with the package ray[data], and name it in LFMC_PYTHON where it is not python3",
      });
    }
    return new LfmcError("native/machine", `ended before its work was done (${[how, ...this.#complaints].join(" | ")})`, {
      subject: this.#python,
      hint: "the same command again goes on where this one ended; LFMC_RAY_LOG=1 shows what Ray writes",
    });
  }

  /** A death that Ray makes good is worth a line, its log is not. */
  #hear(line: string, note: (text: string) => void): void {
    if (process.env.LFMC_RAY_LOG) {
      note(line);
      return;
    }
    this.#complaints.push(line.trim());
    if (this.#complaints.length > keptComplaints) this.#complaints.shift();
    if (line.includes("A worker died or was killed")) note("Ray: a worker process died; it starts again, and so does what it worked on");
  }
}
