/**
 * Weights of several pieces on their way into a memory, own or shared: whatever the source and the host, an altered byte is found in any piece, a
 * wrong length is refused, and an abort is heard in the middle of a part.
 */
import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { type WeightPart, weightPieceBytes } from "../../runtime/manifest.ts";
import { urlSource } from "../../runtime/sources.ts";
import { type PartReader, loadWeights, partsOfInput, partsOfSource } from "../../runtime/weights.ts";
import { type Engine, findBun, findDeno, findNode20 } from "../engines.ts";
import { root, workFolder } from "../model/support.ts";
import { refusal, weightPart } from "./support.ts";

const folder = await workFolder();

/** Three pieces and a bit; one that is just whole. */
const sizes = [3 * weightPieceBytes + 1000, weightPieceBytes];
const contents = sizes.map((size, part) => Uint8Array.from({ length: size }, (_, i) => (i * 7 + (i >> 12) + part) & 255));
const parts = contents.map((bytes, i): WeightPart => weightPart(`weights/${i}.bin`, bytes));
const total = sizes.reduce((a, b) => a + b);
const pageBytes = 65536;

type Contents = readonly Uint8Array[];

function filesOf(given: Contents): PartReader {
  const name = crypto.randomUUID();
  mkdirSync(join(folder, name, "weights"), { recursive: true });
  given.forEach((bytes, i) => {
    writeFileSync(join(folder, name, `weights/${i}.bin`), bytes);
  });
  return partsOfSource(urlSource(pathToFileURL(join(folder, `${name}/`))));
}

async function* streamOf(given: Contents): AsyncGenerator<Uint8Array, void, void> {
  await Promise.resolve();
  for (const bytes of given) for (let at = 0; at < bytes.length; at += 100_003) yield bytes.subarray(at, at + 100_003);
}

const sources: Readonly<Record<string, (given: Contents) => PartReader>> = {
  files: filesOf,
  "a stream": (given) => partsOfInput(streamOf(given), given.length),
  "a function": (given) => partsOfInput((index) => Promise.resolve(given[index] ?? new Uint8Array(0)), given.length),
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

async function loaded(from: PartReader, attempt: Attempt = {}): Promise<Uint8Array> {
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
  [0, 2 * weightPieceBytes - 1],
  [0, sizes[0] === undefined ? 0 : sizes[0] - 1],
  [1, 0],
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
  const reader = (given: Contents): PartReader => sources[kind]?.(given) ?? expect.unreachable();

  describe.each(Object.keys(hosts))("in a host %s,", (host) => {
    test.each(Object.entries(memories))("into %s: every byte at its place", async (_, memory) => {
      const from = reader(contents);
      hosts[host]?.();
      const target = await loaded(from, { memory });
      expect(Buffer.compare(target, Buffer.concat(contents))).toBe(0);
    });

    test.each(places)("part %i, byte %i altered: refused, unless nobody asks", async (part, at) => {
      const make = (): PartReader => reader(altered(part, at));
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
import { loadWeights, partsOfSource } from ${runtime("weights.ts")};
const parts = ${JSON.stringify(parts)};
const memory = new WebAssembly.Memory(${JSON.stringify(memories["a shared memory"])});
const target = new Uint8Array(memory.buffer, 0, ${total});
const from = partsOfSource(urlSource(new URL("./artefact/", import.meta.url)));
const attempt = (parts) => loadWeights(parts, target, from, { verify: true, signal: undefined, onBytes: () => undefined });
await attempt(parts);
const [first, second] = parts;
const wrong = await attempt([{ ...first, pieces: [...first.pieces.slice(0, 3), second.pieces[0]] }, second]).catch(({ code }) => code);
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
