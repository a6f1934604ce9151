/**
 * Text to tokens by @huggingface/tokenizers, tokens to text by the byte-level alphabet itself, so that a whole text and a streamed
 * one are decoded by the same code. Decoding never tidies up spaces: it gives back what was encoded. Only byte-level BPE
 * tokenizers are taken; every LFM2 release has one.
 */
import { Tokenizer as hubConstructor } from "@huggingface/tokenizers";
import { LfmcError } from "./errors.ts";
import { TextStream } from "./text-stream.ts";

/** How text becomes token ids. */
export interface EncodeOptions {
  /** Put the beginning-of-sequence token in front; by default as tokenizer_config.json and tokenizer.json say. A text that begins with it gets no second. */
  readonly addBos?: boolean;
}

/** What a stream of text shows. */
export interface StreamOptions {
  /** Special tokens that the text shows, as they are written; by default none. */
  readonly shown?: readonly number[] | undefined;
}

/** Text to token ids and back. */
export interface Tokenizer {
  /** Token ids of a text; special tokens written out in it become their ids. */
  encode(text: string, options?: EncodeOptions): number[];
  /** The text of token ids, special tokens left out; bytes that are no UTF-8 become U+FFFD. */
  decode(ids: readonly number[]): string;
  /** The bytes that a token stands for; none for special and unknown ones. */
  bytesOf(id: number): Uint8Array;
  /** A decoder to push ids into, one by one. */
  stream(options?: StreamOptions): TextStream;
  /** Id of a token by its content, such as "<|im_end|>". */
  idOf(content: string): number | undefined;
  /** A token's content, special or not; in byte-level letters where it is no added one. */
  contentOf(id: number): string | undefined;
}

/** What is used of the package's class. Its own declarations do not resolve under Node's module rules, so it arrives untyped. */
interface HubTokenizer {
  encode(text: string, options: { readonly add_special_tokens: boolean }): { readonly ids: number[] };
  token_to_id(content: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_added_tokens_decoder(): ReadonlyMap<number, { readonly content: string; readonly special: boolean }>;
}

type HubConstructor = new (json: object, config: object) => HubTokenizer;

/** A tokenizer from parsed `tokenizer.json` and `tokenizer_config.json`; `bos` is the model's id. Throws `artefact/invalid`. */
export function createTokenizer(json: unknown, config: unknown, bos: number | null): Tokenizer {
  const hub = openHub(json, config ?? {});
  const addBosByConfig = field(config, "add_bos_token");
  const bytesOf = guarded(() => byteTable(hub));
  const contentOf = (id: number): string | undefined => hub.id_to_token(id);
  const stream = ({ shown = [] }: StreamOptions = {}): TextStream =>
    new TextStream(shown.length === 0 ? bytesOf : (id) => (shown.includes(id) ? new TextEncoder().encode(contentOf(id)) : bytesOf(id)));
  return {
    encode(text, { addBos } = {}) {
      const bare = guarded(() => hub.encode(text, { add_special_tokens: false }).ids);
      const wanted = addBos ?? (typeof addBosByConfig === "boolean" ? addBosByConfig : guarded(() => startsWithBos(hub, bos)));
      return wanted && bos !== null && bare[0] !== bos ? [bos, ...bare] : bare;
    },
    bytesOf,
    decode(ids) {
      const text = stream();
      return ids.map((id) => text.push(id)).join("") + text.flush();
    },
    stream,
    idOf: (content) => hub.token_to_id(content),
    contentOf,
  };
}

/** The kind of tokenizer that is opened; `bundle.mjs` leaves the others out. */
const byteLevelBpe = { model: "BPE", decoder: "ByteLevel" };

function openHub(json: unknown, config: object): HubTokenizer {
  for (const [part, kind] of Object.entries(byteLevelBpe)) {
    const found = field(field(json, part), "type");
    const name = typeof found === "string" ? `"${found.slice(0, 60)}"` : "of no type";
    if (found !== kind) throw invalid(`${part} is ${name}, only byte-level BPE is supported`);
  }
  if (typeof json !== "object" || json === null) throw invalid("is not an object");
  const Hub: unknown = hubConstructor;
  if (!isHubConstructor(Hub)) throw invalid("has no reader: @huggingface/tokenizers is missing");
  return guarded(() => new Hub(json, config));
}

/** The package's answer. What it throws, it throws for a damaged file: it takes any text. */
function guarded<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw invalid("is not a tokenizer", cause);
  }
}

function isHubConstructor(value: unknown): value is HubConstructor {
  return typeof value === "function";
}

/** Whether the tokenizer's own post-processor puts BOS in front. */
function startsWithBos(hub: HubTokenizer, bos: number | null): boolean {
  return bos !== null && hub.encode("a", { add_special_tokens: true }).ids[0] === bos;
}

/** Bytes of each token, looked up when first needed: special and unknown ones have none, added ones are plain text. */
function byteTable(hub: HubTokenizer): (token: number) => Uint8Array {
  const none = new Uint8Array(0);
  const added = hub.get_added_tokens_decoder();
  const byteOf = byteOfCharacter();
  const known = new Map<number, Uint8Array>();
  const encoder = new TextEncoder();
  const compute = (token: number): Uint8Array => {
    const special = added.get(token);
    if (special) return special.special ? none : encoder.encode(special.content);
    const characters = Array.from(hub.id_to_token(token) ?? "");
    return Uint8Array.from(characters.flatMap((character) => byteOf.get(character) ?? [...encoder.encode(character)]));
  };
  return (token) => {
    const bytes = known.get(token) ?? compute(token);
    known.set(token, bytes);
    return bytes;
  };
}

/** GPT-2's alphabet: printable Latin-1 bytes stand for themselves, the other 68 for U+0100 and on, in rising order. */
function byteOfCharacter(): ReadonlyMap<string, number> {
  const table = new Map<string, number>();
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);
    table.set(String.fromCharCode(printable ? byte : next++), byte);
  }
  return table;
}

function field(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? Object.getOwnPropertyDescriptor(value, key)?.value : undefined;
}

function invalid(fact: string, cause?: unknown): LfmcError {
  return new LfmcError("artefact/invalid", fact, {
    subject: "tokenizer.json",
    hint: "Use the model's own tokenizer.json, unaltered.",
    cause,
  });
}
