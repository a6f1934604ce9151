/** Who may ask at all: by the Host header, which a page on another site can't choose, by the origin of a page, and by the key. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import { isIPv4 } from "node:net";
import { ApiError } from "./api-error.ts";

export interface AccessOptions {
  /** What the server is bound to. */
  readonly host: string;
  /** What clients must send as a Bearer token; undefined lets in all. */
  readonly apiKey?: string | undefined;
  /** The origin whose pages may ask, or *; undefined for none. */
  readonly cors?: string | undefined;
}

/** Whether a server bound to `host` can be reached from this machine alone. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
}

/**
 * Of a server that is bound to this machine: refuses names that are not this machine's. Otherwise a site whose name is made to point here
 * (DNS rebinding) could ask from its visitors' browsers. Throws `ApiError` 403.
 */
export function assertHost(bound: string, { host = "" }: IncomingHttpHeaders): void {
  if (!isLoopback(bound)) return;
  const name = host
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase();
  if (isLoopback(name)) return;
  throw new ApiError(403, "The server answers to localhost, 127.0.0.1 and [::1] alone.", { code: "host_not_allowed" });
}

/** Compares in a time that tells nothing of the key. Throws `ApiError` 401. */
export function assertKey(apiKey: string | undefined, { authorization = "" }: IncomingHttpHeaders): void {
  if (apiKey === undefined) return;
  const given = /^Bearer +(.*)$/i.exec(authorization)?.[1] ?? "";
  if (timingSafeEqual(digest(given), digest(apiKey))) return;
  throw new ApiError(401, "The API key is missing or wrong.", { code: "invalid_api_key", headers: { "www-authenticate": "Bearer" } });
}

/** Lets pages of the allowed origin read the answer. */
export function allowOrigin(cors: string | undefined, response: ServerResponse): void {
  if (cors === undefined) return;
  response.setHeader("access-control-allow-origin", cors);
  if (cors !== "*") response.setHeader("vary", "origin");
}

/** What a page may send, told to its browser before it asks. */
export const preflightHeaders = {
  "access-control-allow-methods": "GET, POST",
  "access-control-allow-headers": "authorization, *",
  "access-control-max-age": "600",
};

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
