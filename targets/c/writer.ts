/** C text, line by line: indentation and blocks. Knows nothing of what it writes. */

export class CWriter {
  readonly #lines: string[] = [];
  #depth = 0;

  /** One line at the present depth; an empty one stays empty. */
  line(text = ""): void {
    this.#lines.push(text === "" ? "" : "  ".repeat(this.#depth) + text);
  }

  /** `head {`, what `body` writes, `}`. */
  block(head: string, body: () => void, tail = ""): void {
    this.body(body, `${head} {`, tail);
  }

  /** The braces alone, for a head of several lines. */
  body(body: () => void, open = "{", tail = ""): void {
    this.line(open);
    this.#depth++;
    body();
    this.#depth--;
    this.line(`}${tail}`);
  }

  /** Ends the open block and begins another of the same statement: `} else {`. */
  turn(middle: string): void {
    this.#depth--;
    this.line(`} ${middle} {`);
    this.#depth++;
  }

  toString(): string {
    return `${this.#lines.join("\n")}\n`;
  }
}

/** A comment of one line; what would end it, begin another, or not be plain text is replaced. */
export function comment(text: string): string {
  return `/* ${text.replace(/[^\x20-\x7e]|\*\/|\/\*|\?\?/g, ".")} */`;
}

/** A call, broken over lines where it would be longer than a line should be. */
export function callText(head: string, args: readonly string[], indent: string): string {
  const flat = `${head}(${args.join(", ")})`;
  if (flat.length + indent.length <= mostColumns) return flat;
  const lines: string[] = [];
  for (const arg of args) {
    const last = lines.at(-1);
    if (last === undefined || last.length + arg.length + indent.length + 6 > mostColumns) lines.push(arg);
    else lines[lines.length - 1] = `${last}, ${arg}`;
  }
  return `${head}(\n${lines.map((line) => `${indent}    ${line}`).join(",\n")})`;
}

const mostColumns = 120;
