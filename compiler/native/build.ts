/**
 * A C artefact's library and executable, built by the system's compiler when they are first needed. What is compiled are the very bytes that
 * the manifest vouches for: they are hashed, copied aside and compiled there. The result is renamed into its place, so that two
 * processes at once do no harm, and a stamp beside it tells whether it is still that of these sources and this compiler.
 */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { availableParallelism, homedir } from "node:os";
import { basename, join, resolve } from "node:path";
import type { Manifest } from "../../runtime/manifest.ts";
import { libraryFile } from "../../runtime/library/native-engine.ts";
import { LfmcError } from "../errors.ts";
import { architectureOf, compileWith, findCompiler, type Compiler } from "./compiler.ts";

/** What the numeric contract asks of a compiler, whatever it compiles. */
const compileFlags = ["-std=c99", "-O2", "-fPIC", "-ffp-contract=off", "-fno-math-errno"];
const linkFlags = ["-lm", "-lpthread"];
const mainSource = "main.c";

/** A built file, and who compiled it. */
export interface Built {
  readonly path: string;
  readonly compiler: Compiler;
}

/** The shared library of an artefact in `folder`, for this process. Throws artefact/mismatch, native/compiler, native/machine. */
export async function buildLibrary(folder: string, manifest: Manifest): Promise<Built> {
  const compiler = await findCompiler();
  checkMachine(compiler, manifest);
  if (architectureOf(compiler.machine) !== architectureOf(process.arch)) {
    throw new LfmcError("native/machine", `compiles for ${compiler.machine}, and this process runs on ${process.arch}`, {
      subject: compiler.command,
      hint: `set LFMC_RUNNER to what runs such programs ("qemu-aarch64 -L /usr/aarch64-linux-gnu"): lfmc forward and run take it`,
    });
  }
  const sources = await readSources(folder, manifest);
  sources.delete(mainSource);
  const name = basename(libraryFile(manifest.name, process.platform));
  return await build({ place: join(folder, "build"), name, compiler, sources, link: ["-shared"] });
}

/** The executable of an artefact in `folder`, for whatever machine the compiler compiles for. Throws as buildLibrary does. */
export async function buildExecutable(folder: string, manifest: Manifest): Promise<Built> {
  const compiler = await findCompiler();
  checkMachine(compiler, manifest);
  const sources = await readSources(folder, manifest);
  const name = executableFile(manifest.name);
  return await build({ place: join(folder, "build"), name, compiler, sources, link: [] });
}

/** A library of one C source, in the user's cache. Throws native/compiler. */
export async function buildSource(name: string, text: string): Promise<Built> {
  const compiler = await findCompiler();
  const sources = new Map([[`${name}.c`, Buffer.from(text)]]);
  const library = basename(libraryFile(name, process.platform));
  return await build({ place: null, name: library, compiler, sources, link: ["-shared"] });
}

/** A program of C sources for `target`, in the user's cache. Throws native/compiler, native/machine. */
export async function buildProgram(
  name: string,
  target: Manifest["target"],
  files: readonly { readonly path: string; readonly text: string }[],
): Promise<Built> {
  const compiler = await findCompiler();
  checkMachine(compiler, { name, target });
  const sources = new Map(files.map(({ path, text }) => [path, Buffer.from(text)]));
  return await build({ place: null, name: executableFile(name), compiler, sources, link: [] });
}

function executableFile(name: string): string {
  return process.platform === "win32" ? `${name}.exe` : name;
}

const architectures: Readonly<Partial<Record<Manifest["target"], "x86" | "arm">>> = { "c-x86": "x86", "c-arm": "arm" };

function checkMachine({ command, machine }: Compiler, { name, target }: Pick<Manifest, "name" | "target">): void {
  const wanted = architectures[target];
  if (wanted === undefined || wanted === architectureOf(machine)) return;
  throw new LfmcError("native/machine", `is ${wanted === "arm" ? "AArch64" : "x86-64"} code, and ${command} compiles for ${machine}`, {
    subject: `${name} (${target})`,
    hint:
      wanted === "arm"
        ? 'set CC=aarch64-linux-gnu-gcc and LFMC_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu max", or choose a target of this machine'
        : "choose --target c, which runs everywhere, or c-arm",
  });
}

/** The C files of an artefact by name. Throws artefact/mismatch where one is not what was written, io/missing. */
async function readSources(folder: string, { variants, sources }: Manifest): Promise<Map<string, Uint8Array>> {
  const files = [...sources, ...variants.map(({ module, sha256 }) => ({ path: module, sha256 }))];
  const read = files.map(async ({ path, sha256 }): Promise<[string, Uint8Array]> => {
    const bytes = await readFile(join(folder, path)).catch((cause: unknown) => {
      throw new LfmcError("io/missing", "cannot be read", { subject: path, hint: "the artefact's folder must be kept whole", cause });
    });
    if (hashOf(bytes) === sha256) return [path, bytes];
    throw new LfmcError("artefact/mismatch", "does not have the sha256 that the manifest says", {
      subject: path,
      hint: "the file was altered or belongs to another artefact: copy or compile it again",
    });
  });
  return new Map(await Promise.all(read));
}

interface Product {
  /** The folder that is tried first; null for the cache at once. */
  readonly place: string | null;
  readonly name: string;
  readonly compiler: Compiler;
  readonly sources: ReadonlyMap<string, Uint8Array>;
  readonly link: readonly string[];
}

async function build(product: Product): Promise<Built> {
  const { name, compiler } = product;
  const key = keyOf(product);
  for (const place of [...(product.place === null ? [] : [product.place]), join(cacheFolder(), key.slice(0, 32))]) {
    const path = resolve(place, name);
    if (await isCurrent(path, key)) return { path, compiler };
    const aside = await folderIn(place);
    if (aside === null) continue;
    try {
      await compileIn(aside, product);
      const sha256 = hashOf(await readFile(join(aside, name)));
      await rename(join(aside, name), path);
      await writeFile(join(aside, "stamp"), stampText(key, sha256));
      await rename(join(aside, "stamp"), stampPath(path));
      return { path, compiler };
    } finally {
      await rm(aside, { recursive: true, force: true });
    }
  }
  throw new LfmcError("io/unreadable", "has no room for a built library", {
    subject: cacheFolder(),
    hint: "make it writable, or set XDG_CACHE_HOME",
  });
}

/** A new folder inside `place`, or null where that cannot be written to. */
async function folderIn(place: string): Promise<string | null> {
  try {
    await mkdir(place, { recursive: true });
    return await mkdtemp(join(place, ".partial-"));
  } catch {
    return null;
  }
}

/** Each source becomes an object, as many at once as there are processors; then they are linked. */
async function compileIn(folder: string, { name, compiler, sources, link }: Product): Promise<void> {
  for (const [path, bytes] of sources) await writeFile(join(folder, path), bytes);
  const units = [...sources.keys()].filter((path) => path.endsWith(".c"));
  const largestFirst = units.toSorted((a, b) => (sources.get(b)?.length ?? 0) - (sources.get(a)?.length ?? 0));
  const work = async (): Promise<void> => {
    for (let unit = largestFirst.shift(); unit !== undefined; unit = largestFirst.shift())
      await compileWith(compiler, [...compileFlags, "-c", unit, "-o", objectOf(unit)], folder);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  await compileWith(compiler, [...link, "-o", name, ...units.map(objectOf), ...linkFlags], folder);
}

function objectOf(unit: string): string {
  return `${unit}.o`;
}

/** What the built file depends on. */
function keyOf({ name, compiler, sources, link }: Product): string {
  const files = [...sources].map(([path, bytes]) => [path, hashOf(bytes)]).toSorted();
  return hashOf(JSON.stringify({ name, compiler, files, flags: [compileFlags, link, linkFlags] }));
}

async function isCurrent(path: string, key: string): Promise<boolean> {
  try {
    const [stamp, bytes] = await Promise.all([readFile(stampPath(path), "utf8"), readFile(path)]);
    return stamp === stampText(key, hashOf(bytes));
  } catch {
    return false;
  }
}

function stampPath(path: string): string {
  return `${path}.stamp`;
}

function stampText(key: string, sha256: string): string {
  return `sources and compiler ${key}\nfile ${sha256}\n`;
}

function cacheFolder(): string {
  const { XDG_CACHE_HOME: given } = process.env;
  return join(given === undefined || given === "" ? join(homedir(), ".cache") : given, "lfmc");
}

function hashOf(data: Uint8Array | string): string {
  return createHash("sha256").update(data).digest("hex");
}
