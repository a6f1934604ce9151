/**
 * Whether a model's memory is let go of: a program for every engine, `memory.js <artefact> <threads>`, run by dispose.test.ts with a garbage collector
 * at hand. Each case ends a model, or the loading of one, and holds on to all that a caller can hold. Prints a line of JSON: how each case ended, and
 * whether all memories made in it were collected.
 */
const [artefact, threads] = process.argv.slice(2);
const base = new URL(artefact);
const { load, urlSource, SessionPool } = await import(new URL("index.js", base));
const files = urlSource(base);
const manifest = JSON.parse(new TextDecoder().decode(await files.read("manifest.json")));
const [shard] = await Promise.all(manifest.weights.map(({ path }) => files.read(path)));

let memories = [];
const Memory = WebAssembly.Memory;
WebAssembly.Memory = class extends Memory {
  constructor(descriptor) {
    super(descriptor);
    memories.push(new WeakRef(this), new WeakRef(this.buffer));
  }
};

const collect = globalThis.gc ?? (() => globalThis.Bun.gc(true));
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function collected() {
  for (let round = 0; round < 60; round++) {
    // What was looked at stays until the end of the job, and workers take their time to end.
    await pause(5 + round);
    collect();
    await pause(5);
    if (memories.every((memory) => memory.deref() === undefined)) return true;
  }
  return false;
}

/** All that callers have in hand. */
const held = [];
const hold = (thing) => {
  held.push(thing);
  return thing;
};
/** Never settles, and is held by who might settle it. */
const hanging = () => hold(new Promise((...settle) => hold(settle)));

/** A model that has been used in every way, in the middle of some of them, and is disposed of. */
async function disposed() {
  const model = hold(await load({ base, threads: Number(threads) }));
  const [first, second, third] = [model.createSession(), model.createSession(), model.createSession()].map(hold);
  const options = { ignoreEos: true, maxTokens: 20 };
  for (const [session, more] of [
    [first, { temperature: 0.8, seed: 1, logprobs: 2 }],
    [second, { decode: "jacobi" }],
  ]) {
    const parts = hold(session.generate([1, 2, 3, 1, 2, 3], { ...options, ...more }));
    hold([await parts.next(), await parts.next()]);
  }
  hold(await third.complete([3, 4, 3, 4], { ...options, decode: "lookup" }));
  hold(await model.evaluate([{ session: third, tokens: [5, 6] }]));
  hold([third.save(), third.result]);
  const pool = hold(new SessionPool(model));
  hold(await pool.acquire([1, 2]));
  const logits = hold(third.logits([7, 8]));
  hold(await logits.next());
  await logits.return();
  const waiting = hold(third.logits([9]).next()).catch(hold);
  await model.dispose();
  await waiting;
  return (await pool.acquire([1]).catch(hold)).code;
}

/** How a loading ends that is aborted after a while, or fails. */
async function refused(options, whenAborted) {
  const controller = hold(new AbortController());
  const loading = load(hold({ base, signal: controller.signal, threads: Number(threads), ...options }));
  if (whenAborted !== undefined) void pause(whenAborted).then(() => controller.abort());
  const error = await loading.then(
    () => null,
    (reason) => hold(reason),
  );
  return error?.code ?? error?.name ?? "loaded";
}

const after = 30;
let cancelled = 0;
const half = () =>
  hold(
    new ReadableStream({
      start: (to) => hold(to).enqueue(shard.slice(0, 1000)),
      cancel: () => void cancelled++,
    }),
  );
const source = (hang) => hold({ ...files, read: (path, signal) => (hang(path) ? hanging() : files.read(path, signal)) });
const withTokenizer = { ...manifest, files: { ...manifest.files, tokenizer: "tokenizer.json" } };
const store = { get: hanging, put: hanging, keep: hanging };
const altered = shard.with(99, shard[99] ^ 1);

const cases = {
  disposed,
  "aborted at the manifest": () => refused({ source: source((path) => path === "manifest.json") }, after),
  "aborted at the module": () => refused({ module: hanging }, after),
  "aborted at the module's file": () => refused({ source: source((path) => path.endsWith(".wasm")) }, after),
  "aborted at a shard": () => refused({ weights: hanging }, after),
  "aborted in a shard": () => refused({ weights: half }, after),
  "aborted in a run of shards": () => refused({ weights: half() }, after),
  "aborted at the tokenizer": () => refused({ manifest: withTokenizer, source: source((path) => path === "tokenizer.json") }, after),
  "aborted at the cache": () => refused({ cache: store }, after),
  "aborted at the threads": () => refused({ thread: new URL("silent.js", base), threads: 2 }, after),
  "an altered shard": () => refused({ weights: () => altered }),
  "a shard that is cut short": () => refused({ weights: () => shard.subarray(1) }),
  "a module that is none": () => refused({ module: () => shard }),
  "no tokenizer, while a shard is on its way": () => refused({ manifest: withTokenizer, weights: half }),
  "no tokenizer, once all else is there": () => refused({ manifest: withTokenizer, source: { ...files, read: late } }),
  "no weights, while threads do not start": () => refused({ thread: new URL("silent.js", base), threads: 2, weights: () => null }),
  "a caller who fails at the end": () => refused({ onProgress: ({ phase }) => (phase === "ready" ? hold(null).length : null) }),
};

async function late(path, signal) {
  if (path === "tokenizer.json") await pause(100);
  return files.read(path, signal);
}

const found = {};
for (const [name, run] of Object.entries(cases)) {
  memories = [];
  cancelled = 0;
  const begin = performance.now();
  const code = await run();
  const seconds = (performance.now() - begin) / 1000;
  found[name] = { code, seconds, cancelled, collected: await collected() };
}
console.log(JSON.stringify(found));
