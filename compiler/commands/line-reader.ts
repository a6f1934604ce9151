/**
 * Lines of stdin, from a terminal or a pipe, and Ctrl-C: it interrupts what is going on, empties the line, and on an empty line ends
 * the reading.
 */
import { createInterface, type Interface } from "node:readline";

export class LineReader {
  readonly #interface: Interface;
  readonly #isTerminal = process.stdin.isTTY && process.stderr.isTTY;
  /** Lines that nobody has asked for yet. */
  #lines: string[] = [];
  #waiting: ((line: string | null) => void) | null = null;
  #ended = false;
  #interrupt: (() => void) | null = null;

  constructor() {
    // The prompt belongs to what the program says, not to its data.
    this.#interface = createInterface({ input: process.stdin, output: process.stderr, terminal: this.#isTerminal });
    this.#interface.on("line", (line) => {
      this.#give(line);
    });
    this.#interface.on("close", () => {
      this.#ended = true;
      this.#waiting?.(null);
      this.#waiting = null;
    });
    const interrupted = (): void => {
      this.#interrupted();
    };
    // In a terminal readline sees the key; elsewhere the process gets the signal.
    this.#interface.on("SIGINT", interrupted);
    process.on("SIGINT", interrupted);
  }

  /** The next line, null after the last one. */
  async next(prompt: string): Promise<string | null> {
    const line = this.#lines.shift();
    if (line !== undefined) return line;
    if (this.#ended) return null;
    if (this.#isTerminal) {
      this.#interface.setPrompt(prompt);
      this.#interface.prompt();
    }
    return await new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  /** What Ctrl-C does instead of ending the reading; null for nothing. */
  onInterrupt(interrupt: (() => void) | null): void {
    this.#interrupt = interrupt;
  }

  close(): void {
    this.#interface.close();
  }

  #give(line: string): void {
    const resolve = this.#waiting;
    this.#waiting = null;
    if (resolve) resolve(line);
    else this.#lines = [...this.#lines, line];
  }

  #interrupted(): void {
    if (this.#interrupt) this.#interrupt();
    else if (this.#isTerminal && this.#interface.line !== "") {
      process.stderr.write("\n");
      this.#interface.write(null, { ctrl: true, name: "e" });
      this.#interface.write(null, { ctrl: true, name: "u" });
      this.#interface.prompt();
    } else this.#interface.close();
  }
}
