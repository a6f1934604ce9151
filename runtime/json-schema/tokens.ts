/**
 * The tokens of a vocabulary as a tree of their bytes, and which of them a grammar allows: one walk, that leaves a branch where it does not
 * fit.
 */
import type { TokenBytes } from "../text-stream.ts";
import type { Automaton, State } from "./automaton.ts";

export class TokenTree {
  /** Tokens of the vocabulary, those without bytes included. */
  readonly size: number;
  /** Bytes of the longest token. */
  readonly longest: number;
  /** The nodes in the order of a walk: a node's branch are the nodes from it up to its end. */
  readonly #bytes: Uint8Array;
  readonly #depths: Uint16Array;
  readonly #ends: Uint32Array;
  /** Tokens by node: node n's are those from first[n] up to first[n + 1]. */
  readonly #first: Uint32Array;
  readonly #tokens: Uint32Array;

  /** Tokens without bytes, special ones, are in no branch. */
  constructor(size: number, bytesOf: TokenBytes) {
    const texts = Array.from({ length: size }, (_, token) => ({ token, text: latin1(bytesOf(token)) }))
      .filter(({ text }) => text !== "")
      .sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : a.token - b.token));
    const nodes: { byte: number; depth: number; first: number; end: number }[] = [];
    const path: { end: number }[] = [];
    let previous = "";
    for (const [at, { text }] of texts.entries()) {
      const shared = sharedLength(previous, text);
      for (const node of path.splice(shared)) node.end = nodes.length;
      for (let depth = shared; depth < text.length; depth++) {
        const node = { byte: text.charCodeAt(depth), depth, first: depth === text.length - 1 ? at : -1, end: 0 };
        nodes.push(node);
        path.push(node);
      }
      previous = text;
    }
    for (const node of path) node.end = nodes.length;
    // A node without tokens begins where the next one with tokens does.
    let next = texts.length;
    for (const node of nodes.toReversed()) {
      if (node.first < 0) node.first = next;
      next = node.first;
    }
    this.size = size;
    this.longest = texts.reduce((most, { text }) => Math.max(most, text.length), 1);
    this.#bytes = Uint8Array.from(nodes, ({ byte }) => byte);
    this.#depths = Uint16Array.from(nodes, ({ depth }) => depth);
    this.#ends = Uint32Array.from(nodes, ({ end }) => end);
    this.#first = Uint32Array.from([...nodes.map(({ first }) => first), texts.length]);
    this.#tokens = Uint32Array.from(texts, ({ token }) => token);
  }

  /** Sets the bits of the tokens whose bytes may come after `state`. */
  allow(mask: Uint32Array, automaton: Automaton, state: State): void {
    const states: State[] = [state];
    const count = this.#bytes.length;
    for (let at = 0; at < count;) {
      const depth = this.#depths[at] ?? 0;
      const next = automaton.step(states[depth] ?? state, this.#bytes[at] ?? 0);
      if (next === null) {
        at = this.#ends[at] ?? count;
        continue;
      }
      states[depth + 1] = next;
      for (let i = this.#first[at] ?? 0; i < (this.#first[at + 1] ?? 0); i++) allowToken(mask, this.#tokens[i] ?? 0);
      at++;
    }
  }
}

export function allowToken(mask: Uint32Array, token: number): void {
  mask[token >> 5] = (mask[token >> 5] ?? 0) | (1 << (token & 31));
}

/** Bytes as characters, which compare and share beginnings as bytes do. */
function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

function sharedLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && length < b.length && a.charCodeAt(length) === b.charCodeAt(length)) length++;
  return length;
}
