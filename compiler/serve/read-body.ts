/** Bodies of requests: JSON of a bounded size and depth, or a refusal. */
import type { IncomingMessage } from "node:http";
import { ApiError, ClientGone } from "./api-error.ts";

/** Nothing asks for more levels, and they exhaust the stack of whoever walks through them. */
const deepest = 64;

/** The JSON value of a request's body. Throws `ApiError` 400, 413 or 415, and `ClientGone` where the client leaves before its end. */
export async function readJson(request: IncomingMessage, maxBytes: number): Promise<unknown> {
  const { "content-type": type = "", "content-encoding": encoding = "identity", "content-length": length } = request.headers;
  if (!/^application\/json\s*(;|$)/i.test(type)) throw new ApiError(415, "The body must have the content type application/json.");
  if (encoding !== "identity") throw new ApiError(415, "The body must not be compressed.");
  if (Number(length ?? 0) > maxBytes) throw tooLarge(maxBytes);
  return parse(await collect(request, maxBytes));
}

/** What comes after a refusal is thrown away by Node, within the server's time for requests. */
function collect(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let pieces: Buffer[] = [];
    let bytes = 0;
    const take = (piece: Buffer): void => {
      bytes += piece.length;
      pieces.push(piece);
      if (bytes <= maxBytes) return;
      request.off("data", take);
      pieces = [];
      reject(tooLarge(maxBytes));
    };
    const leave = (): void => {
      reject(new ClientGone("left before the end of the body"));
    };
    request.on("data", take).on("error", leave).on("close", leave);
    request.on("end", () => {
      resolve(Buffer.concat(pieces));
    });
  });
}

function parse(bytes: Buffer): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new ApiError(400, "The body is not UTF-8.", { code: "invalid_json" });
  }
  if (isTooDeep(text)) throw new ApiError(400, `The body has more than ${deepest} levels.`, { code: "invalid_json" });
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    throw new ApiError(400, "The body is not JSON.", { code: "invalid_json" });
  }
}

/** Whether a JSON text nests deeper than `deepest`; of what is no JSON, anything. */
function isTooDeep(text: string): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (inString) {
      if (character === "\\") at++;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if (character === "{" || character === "[") {
      if (++depth > deepest) return true;
    } else if (character === "}" || character === "]") depth--;
  }
  return false;
}

function tooLarge(maxBytes: number): ApiError {
  return new ApiError(413, `The body has more than ${maxBytes} bytes.`, { code: "body_too_large" });
}
