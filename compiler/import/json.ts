/**
 * JSON from files that nobody vouches for: strict UTF-8, a size limit before anything is allocated, and no repeated keys (JSON.parse
 * would silently keep the last of them).
 */

/** Parses strict UTF-8 JSON. Returns the value, or says in `fault` why there is none. Repeated keys are a fault. */
export function parseJson(bytes: Uint8Array): { readonly value: unknown } | { readonly fault: string } {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { fault: "is not UTF-8 text" };
  }
  try {
    const value: unknown = JSON.parse(text);
    const repeated = repeatedKey(text);
    return repeated === null ? { value } : { fault: `has the key ${JSON.stringify(repeated.slice(0, 60))} twice` };
  } catch (error) {
    return { fault: `is not JSON (${error instanceof Error ? error.message : String(error)})` };
  }
}

/** The first key that occurs twice in one object of a valid JSON text, or null. */
export function repeatedKey(text: string): string | null {
  /** Keys seen in each object that is open here; null for a list. */
  const open: (Set<string> | null)[] = [];
  let keyNext = false;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x7b: // {
        open.push(new Set());
        keyNext = true;
        break;
      case 0x5b: // [
        open.push(null);
        keyNext = false;
        break;
      case 0x7d: // }
      case 0x5d: // ]
        open.pop();
        keyNext = false;
        break;
      case 0x2c: // ,
        keyNext = open.at(-1) instanceof Set;
        break;
      case 0x22: {
        const end = stringEnd(text, at);
        const keys = open.at(-1);
        if (keyNext && keys) {
          const key = String(JSON.parse(text.slice(at, end)));
          if (keys.has(key)) return key;
          keys.add(key);
          keyNext = false;
        }
        at = end - 1;
        break;
      }
    }
  }
  return null;
}

/** The index after the closing quote of the string that opens at `start`, in a valid JSON text. */
export function stringEnd(text: string, start: number): number {
  let at = start + 1;
  while (text.charCodeAt(at) !== 0x22) at += text.charCodeAt(at) === 0x5c ? 2 : 1;
  return at + 1;
}
