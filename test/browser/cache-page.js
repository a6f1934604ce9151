/**
 * What pages and workers of cache.test.ts do, told as data: loads the model that lies beside, with whatever cache, and says how that went. In a page
 * also looks into the stores.
 */
const prompt = [1, 40, 77, 912];

/** Loads, and generates a few tokens. */
export async function attempt(options = {}) {
  try {
    const { load } = await import("/model/index.js");
    let seen = 0;
    const onProgress = ({ phase, loadedBytes }) => {
      if (phase === "weights") seen = loadedBytes;
    };
    const model = await load({ ...options, onProgress });
    const { tokens } = await model.createSession().complete(prompt, { maxTokens: 8, ignoreEos: true, temperature: 0 });
    await model.dispose();
    return { tokens, seen };
  } catch ({ code, message }) {
    return { code, message };
  }
}

/** `attempt` in a module worker. */
export async function attemptInWorker(options = {}) {
  const worker = new Worker("/page/cache-page.js", { type: "module" });
  try {
    return await new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = reject;
      worker.postMessage(options);
    });
  } finally {
    worker.terminate();
  }
}

async function openFolder(name) {
  return (await navigator.storage.getDirectory()).getDirectoryHandle(name);
}

/** The stored pieces, sorted, of a store by its kind. */
export async function stored(kind, name) {
  const found = [];
  if (kind === "opfs") for await (const key of (await openFolder(name)).keys()) found.push(key);
  else for (const { url } of await (await caches.open(name)).keys()) found.push(url.slice(-64));
  return found.sort();
}

/** Alters a byte of a stored piece. */
export async function spoil(kind, name, hash) {
  if (kind === "opfs") {
    const file = await (await openFolder(name)).getFileHandle(hash);
    const bytes = new Uint8Array(await (await file.getFile()).arrayBuffer());
    bytes[5] ^= 1;
    const stream = await file.createWritable();
    await stream.write(bytes);
    await stream.close();
  } else {
    const cache = await caches.open(name);
    const [request] = (await cache.keys()).filter(({ url }) => url.endsWith(hash));
    const bytes = new Uint8Array(await (await cache.match(request)).arrayBuffer());
    bytes[5] ^= 1;
    await cache.put(request, new Response(bytes));
  }
}

/** Empties all stores. */
export async function clear() {
  const root = await navigator.storage.getDirectory();
  for await (const key of root.keys()) await root.removeEntry(key, { recursive: true });
  for (const key of await caches.keys()) await caches.delete(key);
}

if (!("document" in globalThis)) {
  globalThis.onmessage = async ({ data }) => {
    globalThis.postMessage(await attempt(data));
  };
}
