/** JSON as it was written: numbers of 64 bits and escapes come back as they were, which a parsed value would not tell. */
import { stringEnd } from "../import/json.ts";

/** The JSON of the member `key` of a valid JSON object, without the space around it; undefined where the object has none. */
export function rawMember(object: string, key: string): string | undefined {
  let depth = 0;
  /** The last string of the outermost object; before a colon, that is a key. */
  let name = "";
  let start = -1;
  for (let at = 0; at < object.length; at++) {
    switch (object.charAt(at)) {
      case '"': {
        const end = stringEnd(object, at);
        if (depth === 1) name = object.slice(at, end);
        at = end - 1;
        break;
      }
      case ":":
        if (depth === 1 && JSON.parse(name) === key) start = at + 1;
        break;
      case "{":
      case "[":
        depth++;
        break;
      case "}":
      case "]":
        depth--;
        if (depth === 0 && start >= 0) return object.slice(start, at).trim();
        break;
      case ",":
        if (depth === 1 && start >= 0) return object.slice(start, at).trim();
        break;
    }
  }
  return undefined;
}
