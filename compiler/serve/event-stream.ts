/** Server-sent events: an answer in pieces, no faster than the client reads. */
import type { ServerResponse } from "node:http";
import { ClientGone } from "./api-error.ts";

const headers = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache",
  // Proxies that would collect the pieces (nginx) are told not to.
  "x-accel-buffering": "no",
};

export class EventStream {
  readonly #response: ServerResponse;

  /** Nothing is sent before the first event: until then an error can still be an answer with a status. */
  constructor(response: ServerResponse) {
    this.#response = response;
  }

  /** Sends an event, and waits where the client does not keep up. Throws `ClientGone` where it has left, or reads nothing for `seconds`. */
  async send(data: object, seconds: number): Promise<void> {
    const response = this.#response;
    if (!response.headersSent) response.writeHead(200, headers);
    if (response.write(`data: ${JSON.stringify(data)}\n\n`)) return;
    await drained(response, seconds);
  }

  /** Ends the answer. */
  end(): void {
    this.#response.end("data: [DONE]\n\n");
  }

  /** Ends the answer with an error, after which there is nothing more. */
  fail(error: object): void {
    this.#response.end(`data: ${JSON.stringify(error)}\n\n`);
  }
}

function drained(response: ServerResponse, seconds: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (gone: boolean): void => {
      clearTimeout(timer);
      response.off("drain", drain).off("close", leave);
      if (gone) reject(new ClientGone("does not read"));
      else resolve();
    };
    const drain = (): void => {
      settle(false);
    };
    const leave = (): void => {
      settle(true);
    };
    const timer = setTimeout(() => {
      response.destroy();
      leave();
    }, seconds * 1000);
    response.on("drain", drain).on("close", leave);
    if (response.closed) leave();
  });
}
