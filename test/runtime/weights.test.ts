/**
 * Weights of several pieces on their way into a memory, own or shared: whatever the source and the host, an altered byte is found in any piece, a
 * wrong length is refused, and an abort is heard in the middle of a part.
 */
import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { ByteReader, BytesInput } from "../../runtime/bytes.ts";
import { type WeightPart, weightPieceBytes } from "../../runtime/manifest.ts";
import { type ArtefactSource, urlSource } from "../../runtime/sources.ts";
import { type WeightReader, type WeightsInput, loadWeights, readerOfInput, readerOfSource } from "../../runtime/weights.ts";
import { type Engine, findBun, findDeno, findNode20 } from "../engines.ts";
import { root, workFolder } from "../model/support.ts";
import { refusal, weightPart } from "./support.ts";

const folder = await workFolder();

/** Two pieces and a bit; one that is just whole. */
const sizes = [2 * weightPieceBytes + 1000, weightPieceBytes];
const contents = sizes.map((size, part) => Uint8Array.from({ length: size }, (_, i) => (i * 7 + (i >> 12) + 5 * (i >> 22) + part) & 255));
const parts = contents.map((bytes, i): WeightPart => weightPart(`weights/${i}.bin`, bytes));
const total = sizes.reduce((a, b) => a + b);
const pageBytes = 65536;

type Contents = readonly Uint8Array[];

function filesOf(given: Contents): WeightReader {
  const name = crypto.randomUUID();
  mkdirSync(join(folder, name, "weights"), { recursive: true });
  given.forEach((bytes, i) => {
    writeFileSync(join(folder, name, `weights/${i}.bin`), bytes);
  });
  return readerOfSource(urlSource(pathToFileURL(join(folder, `${name}/`))), parts, undefined);
}

async function* streamOf(given: Contents): AsyncGenerator<Uint8Array, void, void> {
  await Promise.resolve();
  for (const bytes of given) for (let at = 0; at < bytes.length; at += 100_003) yield bytes.subarray(at, at + 100_003);
}

function fromInput(input: Exclude<WeightsInput, URL>, signal?: AbortSignal): WeightReader {
  return readerOfInput(input, parts, signal);
}

const sources: Readonly<Record<string, (given: Contents) => WeightReader>> = {
  files: filesOf,
  "a stream": (given) => fromInput(streamOf(given)),
  "a function": (given) => fromInput((index) => Promise.resolve(given[index] ?? new Uint8Array(0))),
};

const memories = {
  "a memory": { initial: Math.ceil(total / pageBytes), maximum: 1000 },
  "a shared memory": { initial: Math.ceil(total / pageBytes), maximum: 1000, shared: true },
} as const satisfies Record<string, WebAssembly.MemoryDescriptor>;

interface Attempt {
  readonly memory?: WebAssembly.MemoryDescriptor;
  readonly verify?: boolean;
  readonly signal?: AbortSignal;
  readonly onBytes?: (bytes: number) => void;
}

async function loaded(from: WeightReader, attempt: Attempt = {}): Promise<Uint8Array> {
  const { memory = memories["a memory"], verify = true, signal, onBytes = () => undefined } = attempt;
  const target = new Uint8Array(new WebAssembly.Memory(memory).buffer, 0, total);
  await loadWeights(parts, target, from, { verify, signal, onBytes });
  return target;
}

/** The parts with byte `at` of part `part` altered. */
function altered(part: number, at: number): Contents {
  return contents.map((bytes, i) => (i === part ? bytes.with(at, (bytes[at] ?? 0) ^ 4) : bytes));
}

const places = [
  [0, 0],
  [0, weightPieceBytes - 1],
  [0, weightPieceBytes],
  [0, sizes[0] === undefined ? 0 : sizes[0] - 1],
  [1, weightPieceBytes - 1],
] as const;

afterEach(() => {
  vi.restoreAllMocks();
});

const hosts: Readonly<Record<string, () => void>> = {
  "hashing in place": () => undefined,
  "without hashes of its own": () => void vi.spyOn(process, "getBuiltinModule").mockReturnValue(undefined),
};

describe.each(Object.keys(sources))("from %s", (kind) => {
  const reader = (given: Contents): WeightReader => sources[kind]?.(given) ?? expect.unreachable();

  describe.each(Object.keys(hosts))("in a host %s,", (host) => {
    test.each(Object.entries(memories))("into %s: every byte at its place", async (_, memory) => {
      const from = reader(contents);
      hosts[host]?.();
      const target = await loaded(from, { memory });
      expect(Buffer.compare(target, Buffer.concat(contents))).toBe(0);
    });

    test.each(places)("part %i, byte %i altered: refused, unless nobody asks", async (part, at) => {
      const make = (): WeightReader => reader(altered(part, at));
      const [from, again] = [make(), make()];
      hosts[host]?.();
      const { code, message } = await refusal(() => loaded(from, { memory: memories["a shared memory"] }));
      expect([code, message]).toEqual(["artefact/mismatch", expect.stringContaining(`weights/${part}.bin: sha256 is`)]);
      const target = await loaded(again, { verify: false });
      expect(target[at + (part === 0 ? 0 : (sizes[0] ?? 0))]).not.toBe(contents[part]?.[at]);
    });
  });

  test("a last part that is cut short or too long is refused by its length, at a piece's end too", async () => {
    const [first = new Uint8Array(0), last = new Uint8Array(0)] = contents;
    const refused = async (bytes: Uint8Array): Promise<string> => (await refusal(() => loaded(reader([first, bytes])))).message;
    for (const bytes of [last.slice(0, -1), last.slice(0, 9), new Uint8Array(0)])
      expect(await refused(bytes)).toContain(`weights/1.bin: ends after ${bytes.length} of its ${last.length} bytes`);
    for (const more of [last.slice(0, 1), last])
      expect(await refused(Buffer.concat([last, more]))).toContain("weights/1.bin: is longer than");
  });
});

test.each(["files", "a stream"])("an abort in the middle of a part, from %s, is heard there", async (kind) => {
  const controller = new AbortController();
  const seen: number[] = [];
  const onBytes = (bytes: number): void => {
    seen.push(bytes);
    if (bytes >= weightPieceBytes) controller.abort();
  };
  const from = sources[kind]?.(contents) ?? expect.unreachable();
  expect((await refusal(() => loaded(from, { signal: controller.signal, onBytes }))).code).toBe("run/aborted");
  expect(Math.max(...seen)).toBeLessThanOrEqual(2 * weightPieceBytes);
});

test.each(["files", "a stream"])("an altered first piece of %s ends the loading there", async (kind) => {
  const seen: number[] = [];
  const from = sources[kind]?.(altered(0, 5)) ?? expect.unreachable();
  expect((await refusal(() => loaded(from, { onBytes: (bytes) => seen.push(bytes) }))).code).toBe("artefact/mismatch");
  expect(Math.max(...seen)).toBeLessThan(weightPieceBytes + 100_003);
});

describe("weights from the caller:", () => {
  const few = [new Uint8Array(1000).fill(3), new Uint8Array(7).fill(5)] as const;
  const shards = few.map((bytes, i) => weightPart(`weights/${i}.bin`, bytes));
  const run = Buffer.concat(few);

  async function fewLoaded(input: Exclude<WeightsInput, URL>, signal?: AbortSignal): Promise<void> {
    const target = new Uint8Array(run.length);
    await loadWeights(shards, target, readerOfInput(input, shards, signal), { verify: true, signal, onBytes: () => undefined });
    expect(Buffer.compare(target, run)).toBe(0);
  }

  const kinds: Readonly<Record<string, (bytes: Uint8Array<ArrayBuffer>) => BytesInput>> = {
    "a Uint8Array": (bytes) => bytes,
    "a Buffer": (bytes) => Buffer.from(bytes),
    "an ArrayBuffer": (bytes) => bytes.slice().buffer,
    "a Blob": (bytes) => new Blob([bytes]),
    "a Response": (bytes) => new Response(bytes),
    "a stream": (bytes) => new Blob([bytes]).stream(),
    "a stream of Node": (bytes) => Readable.from([bytes.subarray(0, 3), bytes.subarray(3, 3), bytes.subarray(3)]),
    "a generator": (bytes) => streamOf([bytes]),
  };

  test.each(Object.entries(kinds))("%s, of all or of one, now or promised", async (_, make) => {
    await fewLoaded(make(Uint8Array.from(run)));
    await fewLoaded((index) => make(few[index] ?? expect.unreachable()));
    await fewLoaded((index, { path }) => Promise.resolve(make(few[Number(path.slice(8, 9))] ?? few[index] ?? expect.unreachable())));
  });

  test.each([[null], [undefined], ["text"], [7], [[1, 2]], [{}], [new Date(0)], [new Float32Array(250)]])(
    "%j is no shard",
    async (thing) => {
      // As a caller without types might.
      const give: unknown = (index: number): unknown => (index === 0 ? few[0] : thing);
      const [refused, whole] = await Promise.all([refusal(() => fewLoaded(give as never)), refusal(() => fewLoaded(thing as never))]);
      expect(refused.code).toBe("run/input");
      expect(refused.message).toMatch(/^weights\/1\.bin: is given as \w+$/);
      expect(whole.message).toMatch(/^weights\/0\.bin: is given as \w+$/);
    },
  );

  test("a stream of texts, or one that is being read, is none either", async () => {
    const texts: unknown = (index: number): unknown => (index === 0 ? few[0] : Readable.from(["abcdefg"]));
    expect(await refusal(() => fewLoaded(texts as never))).toEqual({
      code: "run/input",
      message: "weights/1.bin: comes in pieces of which one is String",
    });
    const stream = new Blob([run]).stream();
    stream.getReader();
    expect((await refusal(() => fewLoaded(stream))).message).toBe("weights/0.bin: is a stream that somebody else reads");
  });

  test.each([
    [404, "io/missing"],
    [503, "io/unreadable"],
  ] as const)("an answer of status %i names its shard", async (status, code) => {
    const give = (index: number): BytesInput => (index === 0 ? few[0] : new Response("sorry", { status }));
    expect(await refusal(() => fewLoaded(give))).toEqual({ code, message: `weights/1.bin: the server answers ${status}` });
    expect((await refusal(() => fewLoaded(new Response("sorry", { status })))).code).toBe(code);
  });

  const fault = new Error("the wire broke");
  async function* broken(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
    yield await Promise.resolve(bytes);
    throw fault;
  }
  const breaking = (bytes: Uint8Array): ReadableStream<Uint8Array> =>
    new ReadableStream<Uint8Array>({
      start(to) {
        to.enqueue(bytes);
      },
      pull(to) {
        to.error(fault);
      },
    });

  test.each<readonly [string, (index: number) => BytesInput | Promise<BytesInput>]>([
    ["a generator that fails", () => broken(few[1].subarray(3))],
    ["a stream that fails", () => breaking(few[1].subarray(3))],
    ["an answer that fails", () => new Response(breaking(few[1].subarray(3)))],
    ["a function that fails", () => Promise.reject(fault)],
    [
      "a function that throws",
      () => {
        throw fault;
      },
    ],
  ])("%s half way is io/unreadable, by its shard and with its cause", async (_, give) => {
    const error: unknown = await fewLoaded((index) => (index === 0 ? few[0] : give(index))).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: "io/unreadable", message: `weights/1.bin: cannot be read to its end: ${String(fault)}` });
    expect(error).toHaveProperty("cause", fault);
  });

  test("a run that fails names the shard that it fails in", async () => {
    for (const [bytes, shard] of [
      [999, 0],
      [1003, 1],
    ] as const)
      expect((await refusal(() => fewLoaded(broken(run.subarray(0, bytes))))).message).toBe(
        `weights/${shard}.bin: cannot be read to its end: ${String(fault)}`,
      );
  });

  test("a source of the caller's that gives nothing is left, and what it opens too late is let go of", async () => {
    const controller = new AbortController();
    const cancel = vi.fn();
    let give: (reader: ByteReader) => void = () => undefined;
    const late = new Promise<ByteReader>((resolve) => (give = resolve));
    const source: ArtefactSource = { read: () => Promise.reject(fault), open: () => late };
    const target = new Uint8Array(run.length);
    const { signal } = controller;
    const reader = readerOfSource(source, shards, signal);
    const loading = refusal(() => loadWeights(shards, target, reader, { verify: true, signal, onBytes: () => undefined }));
    controller.abort();
    expect((await loading).code).toBe("run/aborted");
    give({ fill: () => Promise.resolve(0), ended: () => Promise.resolve(true), cancel });
    await vi.waitFor(() => {
      expect(cancel).toHaveBeenCalledTimes(1);
    });
  });

  test("what is left of a stream is cancelled where it is of no use", async () => {
    const cancel = vi.fn();
    const pull = (to: ReadableStreamDefaultController<Uint8Array>): void => {
      to.enqueue(new Uint8Array(400));
    };
    const endless = (): ReadableStream<Uint8Array> => new ReadableStream({ pull, cancel });
    expect((await refusal(() => fewLoaded(endless()))).code).toBe("artefact/mismatch");
    expect((await refusal(() => fewLoaded(endless))).message).toBe("weights/0.bin: is longer than its 1000 bytes");
    await vi.waitFor(() => {
      expect(cancel).toHaveBeenCalledTimes(2);
    });
  });

  test.each<readonly [string, (cancel: () => void) => Exclude<WeightsInput, URL>]>([
    ["a stream", (cancel) => new ReadableStream({ cancel })],
    ["a function that never answers", (cancel) => () => new Promise(cancel)],
    ["a stream that a function gives", (cancel) => () => new ReadableStream({ cancel })],
    [
      "an iterator",
      (cancel) => ({
        [Symbol.asyncIterator]: () => ({
          next: () => new Promise<never>(() => undefined),
          return() {
            cancel();
            return new Promise<never>(() => undefined);
          },
        }),
      }),
    ],
  ])("an abort is heard while %s gives nothing, and ends it", async (_, make) => {
    const cancel = vi.fn();
    const controller = new AbortController();
    const loading = refusal(() => fewLoaded(make(cancel), controller.signal));
    await new Promise((resolve) => setTimeout(resolve, 5));
    controller.abort();
    expect((await loading).code).toBe("run/aborted");
    expect(cancel).toHaveBeenCalledTimes(1);
  });
});

describe("another engine reads and hashes files into a shared memory:", () => {
  const script = join(folder, "script.mjs");

  beforeAll(async () => {
    mkdirSync(join(folder, "artefact", "weights"), { recursive: true });
    contents.forEach((bytes, i) => {
      writeFileSync(join(folder, "artefact", `weights/${i}.bin`), bytes);
    });
    const runtime = (name: string): string => JSON.stringify(join(root, "runtime", name));
    const text = `
import { createHash } from ${runtime("hash.ts")};
import { urlSource } from ${runtime("sources.ts")};
import { loadWeights, readerOfSource } from ${runtime("weights.ts")};
const parts = ${JSON.stringify(parts)};
const memory = new WebAssembly.Memory(${JSON.stringify(memories["a shared memory"])});
const target = new Uint8Array(memory.buffer, 0, ${total});
const from = (parts) => readerOfSource(urlSource(new URL("./artefact/", import.meta.url)), parts);
const attempt = (parts) => loadWeights(parts, target, from(parts), { verify: true, signal: undefined, onBytes: () => undefined });
await attempt(parts);
const [first, second] = parts;
const wrong = await attempt([{ ...first, pieces: [...first.pieces.slice(0, 2), second.pieces[0]] }, second]).catch(({ code }) => code);
console.log(JSON.stringify({ inPlace: createHash() !== null, wrong, bytes: target.reduce((sum, byte) => (sum * 31 + byte) >>> 0, 0) }));
`;
    const stdin = { contents: text, resolveDir: root, loader: "ts" } as const;
    await build({ stdin, bundle: true, format: "esm", platform: "neutral", target: "es2023", outfile: script });
  });

  const engines: readonly (readonly [string, () => Engine, readonly string[]])[] = [
    ["the pinned Node", () => ({ available: true, path: process.execPath }), []],
    ["Node 20", findNode20, []],
    ["Deno", findDeno, ["run", "--no-prompt", "--allow-read"]],
    ["Bun", findBun, []],
  ];
  test.for(engines)("%s", async ([, find, args], context) => {
    const engine = find();
    if (!engine.available) {
      context.skip(engine.reason);
      return;
    }
    const { stdout } = await promisify(execFile)(engine.path, [...args, script]);
    const bytes = Buffer.concat(contents).reduce((sum, byte) => (sum * 31 + byte) >>> 0, 0);
    expect(JSON.parse(stdout)).toEqual({ inPlace: true, wrong: "artefact/mismatch", bytes });
  });
});
