/**
 * Pieces of the weights in a store: what is there is not fetched again, what was cut short goes on where it stopped, however the server takes that, and
 * whatever the store does, the weights are right or there are none.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { type PieceStore, openStore } from "../../runtime/cache/piece-store.ts";
import { LfmcError } from "../../runtime/errors.ts";
import { type WeightPart, weightPieceBytes } from "../../runtime/manifest.ts";
import { urlSource } from "../../runtime/sources.ts";
import { type WeightReader, loadWeights, readerOfInput, readerOfSource } from "../../runtime/weights.ts";
import { type Alteration, type ServeOptions, type Server, serve } from "../browser/server.ts";
import { workFolder } from "../model/support.ts";
import { refusal, weightPart } from "./support.ts";

const folder = await workFolder();

/** Three pieces and a bit; a single one that is not whole. */
const sizes = [3 * weightPieceBytes + 1000, 5000];
const contents = sizes.map((size, part) => Uint8Array.from({ length: size }, (_, i) => (i * 7 + (i >> 12) + 5 * (i >> 22) + part) & 255));
const [first = new Uint8Array(0), second = new Uint8Array(0)] = contents;
const parts = contents.map((bytes, i): WeightPart => weightPart(`weights/0000${i}.bin`, bytes));
const total = sizes.reduce((a, b) => a + b);
const hashes = parts.flatMap(({ pieces }) => pieces);
mkdirSync(join(folder, "weights"));
parts.forEach(({ path }, i) => {
  writeFileSync(join(folder, path), contents[i] ?? "");
});

async function served(alter?: ServeOptions["alter"]): Promise<Server> {
  const server = await serve({ "/": folder }, alter ? { alter } : {});
  onTestFinished(() => server.close());
  return server;
}

/** What was asked for, by the part's number and the first byte. */
function asked({ requests }: Server): readonly string[] {
  return requests.map(({ path, range }) => `${path.slice(-5, -4)} ${range ?? "whole"}`);
}

interface MemoryStore extends PieceStore {
  readonly pieces: Map<string, Uint8Array>;
}

function memoryStore(): MemoryStore {
  const pieces = new Map<string, Uint8Array>();
  return {
    pieces,
    get: (hash) => Promise.resolve(pieces.get(hash) ?? null),
    put: (hash, bytes) => Promise.resolve(pieces.set(hash, bytes)),
    keep: (wanted) => {
      for (const hash of pieces.keys()) if (!wanted.includes(hash)) pieces.delete(hash);
      return Promise.resolve();
    },
  };
}

/** A store that has pieces already, by their numbers. */
function storeOf(...numbers: readonly number[]): MemoryStore {
  const store = memoryStore();
  const bytes = [...[0, 1, 2, 3].map((i) => first.slice(i * weightPieceBytes, (i + 1) * weightPieceBytes)), second];
  for (const number of numbers) store.pieces.set(hashes[number] ?? "", bytes[number] ?? new Uint8Array(0));
  return store;
}

interface Attempt {
  readonly store: PieceStore;
  readonly reader?: WeightReader;
  readonly signal?: AbortSignal;
  readonly onBytes?: (bytes: number) => void;
}

/** Loads the weights, from a server or otherwise, and compares each byte. */
async function loads(server: Server | null, { store, signal, onBytes = () => undefined, ...given }: Attempt): Promise<void> {
  const target = new Uint8Array(total);
  const reader = given.reader ?? readerOfSource(urlSource(new URL(server?.url ?? "http://localhost/")), parts, signal);
  await loadWeights(parts, target, reader, { verify: false, store, signal, onBytes });
  expect(Buffer.compare(target, Buffer.concat(contents))).toBe(0);
}

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

test("a second load asks for nothing, and its progress counts all the same", async () => {
  const store = memoryStore();
  const server = await served();
  await loads(server, { store });
  expect(asked(server)).toEqual(["0 whole", "1 whole"]);
  expect([...store.pieces.keys()]).toEqual(hashes);
  const seen: number[] = [];
  await loads(server, { store, onBytes: (bytes) => seen.push(bytes) });
  expect(server.requests).toHaveLength(2);
  expect(seen).toEqual([1, 2, 3].map((i) => i * weightPieceBytes).concat(first.length, total));
});

describe("a load that was cut short goes on at the first piece that is missing", () => {
  const cut = async (alteration: Alteration, store: PieceStore): Promise<Server> => {
    const isCut = { now: true };
    const server = await served(({ range }) => (isCut.now ? { cutAfter: 2 * weightPieceBytes + 77 } : range ? alteration : {}));
    const error: unknown = await loads(server, { store }).catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(LfmcError);
    expect(error).toMatchObject({
      code: "io/unreadable",
      message: expect.stringContaining(`${server.url}weights/00000.bin: cannot be read to its end: `) as string,
    });
    expect(error).toHaveProperty("cause", expect.any(Error));
    isCut.now = false;
    return server;
  };

  test.each<readonly [string, Alteration, readonly string[]]>([
    ["by a range", {}, []],
    ["past the first bytes, where the server knows no ranges", { ignoresRange: true }, []],
    ["past the first bytes, where the server refuses ranges", { status: 416 }, ["0 whole"]],
    ["past the first bytes, where the server fails at ranges", { status: 500 }, ["0 whole"]],
    ["past the first bytes, where ranges break", { cutAfter: 0 }, ["0 whole"]],
  ])("%s", async (_, alteration, more) => {
    const store = memoryStore();
    const server = await cut(alteration, store);
    expect([...store.pieces.keys()]).toEqual(hashes.slice(0, 2));
    await loads(server, { store });
    expect(asked(server)).toEqual(["0 whole", `0 bytes=${2 * weightPieceBytes}-`, ...more, "1 whole"]);
    expect([...store.pieces.keys()]).toEqual(hashes);
  });

  test.each([
    ["another range comes than was asked for", "bytes 0-9/10"],
    ["less comes than was asked for", `bytes ${weightPieceBytes}-${weightPieceBytes + 9}/${first.length}`],
  ])("past the first bytes, where %s", async (_, range) => {
    const store = storeOf(0);
    const whole = await served();
    const realFetch = fetch;
    vi.stubGlobal("fetch", async (url: URL, { headers }: RequestInit) => {
      const response = await realFetch(url);
      return headers ? new Response(response.body, { status: 206, headers: { "content-range": range } }) : response;
    });
    await loads(whole, { store });
    expect([...store.pieces.keys()]).toEqual(hashes);
  });

  test("by the caller's abort", async () => {
    const store = memoryStore();
    const controller = new AbortController();
    const server = await served();
    const onBytes = (bytes: number): void => {
      if (bytes > weightPieceBytes) controller.abort();
    };
    expect((await refusal(() => loads(server, { store, signal: controller.signal, onBytes }))).code).toBe("run/aborted");
    await loads(server, { store });
    expect(asked(server)).toEqual(["0 whole", `0 bytes=${weightPieceBytes}-`, "1 whole"]);
  });
});

test("pieces that are there are not read again, wherever they are: a request for each run of the others", async () => {
  const server = await served();
  await loads(server, { store: storeOf(1, 4) });
  expect(asked(server)).toEqual(["0 whole", `0 bytes=${2 * weightPieceBytes}-`]);
});

test("of another version only the pieces that differ are read, and then the old ones go", async () => {
  const store = memoryStore();
  const older = (bytes: Uint8Array): Uint8Array => bytes.with(bytes.length > weightPieceBytes ? weightPieceBytes : 7, 3);
  const server = await served(() => ({ content: older }));
  const old = contents.map((bytes, i) => weightPart(parts[i]?.path ?? "", older(bytes)));
  const reader = readerOfSource(urlSource(new URL(server.url)), old, undefined);
  await loadWeights(old, new Uint8Array(total), reader, { verify: false, store, signal: undefined, onBytes: () => undefined });
  expect([...store.pieces.keys()]).toEqual(old.flatMap(({ pieces }) => pieces));
  const renewed = await served();
  await loads(renewed, { store });
  expect(asked(renewed)).toEqual([`0 bytes=${weightPieceBytes}-`, "1 whole"]);
  expect(new Set(store.pieces.keys())).toEqual(new Set(hashes));
});

test.each<readonly [string, (bytes: Uint8Array) => Uint8Array]>([
  ["altered", (bytes) => bytes.with(9, (bytes[9] ?? 0) ^ 1)],
  ["cut", (bytes) => bytes.subarray(0, -1)],
  ["emptied", () => new Uint8Array(0)],
])("a piece that was %s in the store is fetched anew", async (_, spoil) => {
  const store = storeOf(0, 1, 2, 3, 4);
  const [, hash = ""] = hashes;
  store.pieces.set(hash, spoil(store.pieces.get(hash) ?? second));
  const server = await served();
  await loads(server, { store });
  expect(asked(server)).toEqual([`0 bytes=${weightPieceBytes}-`]);
  expect(Buffer.compare(store.pieces.get(hash) ?? second, first.slice(weightPieceBytes, 2 * weightPieceBytes))).toBe(0);
});

test("an altered part is refused by its name, and its pieces do not get into the store", async () => {
  const store = memoryStore();
  const server = await served(() => ({ content: (file) => file.with(weightPieceBytes, 3) }));
  const { code, message } = await refusal(() => loads(server, { store }));
  expect([code, message]).toEqual(["artefact/mismatch", expect.stringContaining("weights/00000.bin: sha256 is")]);
  expect([...store.pieces.keys()]).toEqual(hashes.slice(0, 1));
});

describe("a store that fails is left alone, and the load goes on:", () => {
  const quota = (): Promise<never> => Promise.reject(new DOMException("no room", "QuotaExceededError"));
  const denied = (): never => {
    throw new DOMException("private", "SecurityError");
  };
  test.each<readonly [string, Partial<PieceStore>, number]>([
    ["no permission", { get: denied }, 1],
    ["nothing to be read", { get: quota }, 1],
    ["no room, even where the pieces of other versions have gone", { put: quota }, 2],
    ["nothing to be removed", { keep: quota }, 1],
  ])("%s", async (_, faults, times) => {
    const store = memoryStore();
    const faulty = { ...store, ...faults };
    const asks = (Object.keys(faults) as (keyof PieceStore)[]).map((name) => vi.spyOn(faulty, name));
    await loads(await served(), { store: faulty });
    for (const ask of asks) expect(ask).toHaveBeenCalledTimes(times);
  });

  test("another version's pieces make room for what is wanted", async () => {
    const store = memoryStore();
    store.pieces.set("old", new Uint8Array(total));
    const room = (bytes: Uint8Array): number => [...store.pieces.values()].reduce((sum, { length }) => sum + length, bytes.length);
    const full: PieceStore = { ...store, put: (hash, bytes) => (room(bytes) > total ? quota() : store.put(hash, bytes)) };
    await loads(await served(), { store: full });
    expect(new Set(store.pieces.keys())).toEqual(new Set(hashes));
  });

  test("one that never answers ends with the caller's signal", async () => {
    const store = { ...memoryStore(), get: () => new Promise<never>(() => undefined) };
    const signal = AbortSignal.timeout(20);
    expect((await refusal(async () => loads(await served(), { store, signal }))).code).toBe("run/aborted");
  });
});

test("two loads at once do each other no harm", async () => {
  const store = memoryStore();
  const server = await served();
  await Promise.all([loads(server, { store }), loads(server, { store })]);
  expect(new Set(store.pieces.keys())).toEqual(new Set(hashes));
});

test("the caller's function is asked for the parts of which a piece is missing", async () => {
  const store = storeOf(0, 1, 3);
  const give = vi.fn((index: number) => contents[index] ?? new Uint8Array(0));
  await loads(null, { store, reader: readerOfInput(give, parts, undefined) });
  expect(give.mock.calls).toEqual([
    [0, parts[0]],
    [1, parts[1]],
  ]);
  await loads(null, { store, reader: readerOfInput(give, parts, undefined) });
  expect(give).toHaveBeenCalledTimes(2);
});

test("one run of all parts is read past what is there", async () => {
  const run = new Blob(contents.map((bytes) => bytes.slice()));
  await loads(null, { store: storeOf(0, 2, 4), reader: readerOfInput(run, parts, undefined) });
});

describe("there is a store", () => {
  const page = (globals: Readonly<Record<string, unknown>> = {}): void => {
    vi.spyOn(process, "getBuiltinModule").mockReturnValue(undefined);
    for (const [name, value] of Object.entries({ isSecureContext: true, caches: {}, ...globals })) vi.stubGlobal(name, value);
  };

  test("by default in secure pages, for what comes by http(s)", () => {
    expect(openStore(undefined, "a", true)).toBeNull();
    page();
    expect(openStore(undefined, "a", true)).not.toBeNull();
    expect(openStore(undefined, "a", false)).toBeNull();
    expect(openStore(false, "a", true)).toBeNull();
    page({ isSecureContext: false });
    expect(openStore(undefined, "a", true)).toBeNull();
  });

  test("where the caller brings one, unless the host cannot hash what comes back", () => {
    const store = memoryStore();
    expect(openStore(store, "a", false)).toBe(store);
    page({ crypto: {} });
    expect(openStore(store, "a", false)).toBeNull();
  });
});
