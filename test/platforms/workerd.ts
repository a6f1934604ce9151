/** workerd, the engine of Cloudflare's workers, for tests: a worker made of files as they are, with folders that it fetches from. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, writeFileSync } from "node:fs";
import { extname, join, relative } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";

export interface Worker {
  /** Files by the names that they import each other under; the first one is the worker's own. */
  readonly modules: Readonly<Record<string, string>>;
  /** Folders by the names of bindings that fetch from them. */
  readonly folders?: Readonly<Record<string, string>>;
  /** Compatibility flags. */
  readonly flags?: readonly string[];
}

export interface RunningWorker {
  /** Ends in a slash. */
  readonly url: string;
  /** Ends the process; what it printed on stderr meanwhile. */
  readonly close: () => Promise<string>;
}

const moduleTypes: Readonly<Record<string, string>> = { ".js": "esModule", ".json": "json", ".wasm": "wasm" };

/** An artefact's files that are modules, by their names under `prefix`. */
export function artefactModules(artefact: string, prefix: string): Readonly<Record<string, string>> {
  const files = readdirSync(artefact).filter((file) => extname(file) in moduleTypes && file !== "package.json");
  return Object.fromEntries(files.map((file) => [`${prefix}${file}`, join(artefact, file)]));
}

/** Starts a worker from a config that it writes into `folder`; throws where workerd ends before it listens. */
export async function startWorkerd(program: string, folder: string, worker: Worker): Promise<RunningWorker> {
  writeFileSync(join(folder, "config.capnp"), configText(folder, worker));
  return await serveConfig(program, folder);
}

/** Starts what `config.capnp` in `folder` describes, its socket `http` on a port of this machine that is free; throws as `startWorkerd` does. */
export async function serveConfig(program: string, folder: string): Promise<RunningWorker> {
  const args = ["serve", "config.capnp", "--control-fd=3", "--socket-addr=http=127.0.0.1:0"];
  const child = spawn(program, args, { cwd: folder, stdio: ["ignore", "ignore", "pipe", "pipe"] });
  const complaints = child.stderr === null ? "" : text(child.stderr);
  const ended = once(child, "exit");
  const listening = portOf(child.stdio[3]);
  const port = await Promise.race([listening, ended.then(() => null)]);
  if (port === null) throw new Error(`workerd ended: ${await complaints}`);
  const close = async (): Promise<string> => {
    child.kill();
    await ended;
    return await complaints;
  };
  return { url: `http://127.0.0.1:${port}/`, close };
}

/** The port in the message that says that the socket listens; null where the stream ends without. */
async function portOf(messages: unknown): Promise<number | null> {
  for await (const message of isReadable(messages) ? messages : []) {
    const found = /"port":(\d+)/.exec(String(message));
    if (found) return Number(found[1]);
  }
  return null;
}

function isReadable(value: unknown): value is Readable {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

function configText(folder: string, { modules, folders = {}, flags = [] }: Worker): string {
  const quoted = JSON.stringify;
  const names = Object.keys(folders);
  const disks = names.map((name) => `(name = ${quoted(name)}, disk = (path = ${quoted(folders[name])}))`);
  const list = (items: readonly string[]): string => items.map((item) => `\n    ${item},`).join("");
  const embeds = Object.entries(modules).map(
    ([name, file]) => `(name = ${quoted(name)}, ${moduleTypes[extname(file)] ?? "data"} = embed ${quoted(relative(folder, file))})`,
  );
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker),${list(disks)}
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  compatibilityDate = "2026-11-01",
  compatibilityFlags = [${flags.map((flag) => quoted(flag)).join(", ")}],
  modules = [${list(embeds)}
  ],
  bindings = [${list(names.map((name) => `(name = ${quoted(name)}, service = ${quoted(name)})`))}
  ],
);
`;
}
