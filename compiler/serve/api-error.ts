/** What goes wrong with a request, in the form that OpenAI's clients know. What is inside the server is never told: no stack, no path. */
import { LfmcError as RuntimeError } from "../../runtime/errors.ts";
import { LfmcError } from "../errors.ts";

export interface ApiErrorDetails {
  /** The field of the request that is at fault. */
  readonly param?: string | undefined;
  /** A word for programs. */
  readonly code?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** A request is refused with `status`; the message goes to the client. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly param: string | null;
  readonly code: string | null;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, { param, code, headers = {} }: ApiErrorDetails = {}) {
    super(message);
    this.status = status;
    this.param = param ?? null;
    this.code = code ?? null;
    this.headers = headers;
  }

  /** The body of the answer. */
  get body(): object {
    const { message, param, code } = this;
    return { error: { message, type: typeOf(this.status), param, code } };
  }
}

/** The client has gone: nobody is left to tell. */
export class ClientGone extends Error {
  override readonly name = "ClientGone";
}

/** 503: the server can't take the request now; the client may ask again. */
export function unavailable(message: string, code: string): ApiError {
  return new ApiError(503, message, { code, headers: { "retry-after": "1" } });
}

/** `error` as the client may know it; null where it is a fault of the server itself. */
export function apiErrorOf(error: unknown): ApiError | null {
  if (error instanceof ApiError) return error;
  if (!(error instanceof RuntimeError || error instanceof LfmcError)) return null;
  switch (error.code) {
    case "run/aborted":
      return apiErrorOf(error.cause);
    case "run/input":
    case "chat/template":
      return new ApiError(400, `${error.message}. ${error.hint}`, { code: error.code });
    case "run/context":
      return new ApiError(400, error.message, { code: "context_length_exceeded" });
    default:
      return null;
  }
}

function typeOf(status: number): string {
  if (status === 401) return "authentication_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}
