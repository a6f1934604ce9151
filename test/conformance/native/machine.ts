/**
 * Emitted C kernels as something to call: built by a real compiler into a program that is asked through named pipes, natively or under an
 * emulator. A program that a broken kernel brings down is started again for the next call.
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readSync, renameSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Kernel } from "../../../compiler/kernel/ir.ts";
import { functionSymbol } from "../../../targets/c/names.ts";
import type { Built } from "../targets.ts";

/** A compiler with its flags. */
export interface Build {
  readonly compiler: string;
  readonly flags: readonly string[];
  /** The command that runs its programs; none where the processor does. */
  readonly runner: readonly string[];
}

const driver = fileURLToPath(new URL("driver.c", import.meta.url));
/** Programs by the hash of what they are built from: the same kernels are tested more than once. */
const cache = fileURLToPath(new URL("../../../node_modules/.cache/lfmc-conformance/", import.meta.url));

/** Builds `source`, which holds the kernels as exported functions, over `memoryBytes` of memory. Throws with the compiler's words. */
export function buildMachine(kernels: readonly Kernel[], source: string, memoryBytes: number, toolchain: Build): Built {
  const program = compileProgram(source + dispatcher(kernels), toolchain);
  const memory = new Uint8Array(memoryBytes);
  const numbers = new Map(kernels.map(({ name }, i) => [name, i]));
  let server: Server | null = null;
  return {
    memory,
    call: (kernel, args) => {
      const number = numbers.get(kernel);
      if (number === undefined) throw new Error(`the program has no ${kernel}`);
      server ??= startServer(program, toolchain, memoryBytes);
      try {
        server.call(number, args, memory);
      } catch (error) {
        server.stop();
        server = null;
        throw error;
      }
    },
    close: () => server?.stop(),
  };
}

/** `run_kernel`: calls kernel `number`; pointers come as offsets into the memory. */
function dispatcher(kernels: readonly Kernel[]): string {
  const cases = kernels.map(({ name, parameters }, number) => {
    const args = parameters.map(({ access }, i) => (access === "scalar" ? `a[${i}]` : `m + a[${i}]`));
    return `  case ${number}: ${functionSymbol(name)}(${args.join(", ")}); return;`;
  });
  const head = "void run_kernel(uint32_t kernel, unsigned char *m, const int32_t *a)";
  return [`${head};`, `${head} {`, "  switch (kernel) {", ...cases, "  }", "}", ""].join("\n");
}

function compileProgram(source: string, { compiler, flags }: Build): string {
  const key = createHash("sha256")
    .update([compiler, ...flags, source].join("\0"))
    .digest("hex")
    .slice(0, 32);
  const program = join(cache, key);
  if (existsSync(program)) return program;
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "build-"));
  try {
    writeFileSync(join(folder, "kernels.c"), source);
    const strict = ["-std=c99", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-pedantic"];
    const { status, stderr, error } = spawnSync(
      compiler,
      [...strict, ...flags, join(folder, "kernels.c"), driver, "-lm", "-o", join(folder, "program")],
      { encoding: "utf8" },
    );
    if (status !== 0) throw new Error(`${compiler} ${flags.join(" ")}: ${error?.message ?? stderr.slice(0, 4000)}`);
    renameSync(join(folder, "program"), program);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return program;
}

interface Server {
  call(kernel: number, args: readonly number[], memory: Uint8Array): void;
  stop(): void;
}

function startServer(program: string, { runner }: Build, memoryBytes: number): Server {
  const folder = mkdtempSync(join(tmpdir(), "lfmc-pipes-"));
  const [requests, answers] = [join(folder, "requests"), join(folder, "answers")];
  for (const pipe of [requests, answers]) spawnSync("mkfifo", [pipe]);
  const [command, ...rest] = [...runner, program, requests, answers, String(memoryBytes)];
  const child: ChildProcess = spawn(command, rest, { stdio: "ignore" });
  const [to, from] = [openSync(requests, "w"), openSync(answers, "r")];
  rmSync(folder, { recursive: true });
  return {
    call(kernel, args, memory) {
      writeAll(to, new Uint8Array(Uint32Array.of(kernel, args.length).buffer));
      writeAll(to, new Uint8Array(Int32Array.from(args).buffer));
      writeAll(to, memory);
      for (let at = 0; at < memory.length;) {
        const count = readSync(from, memory, at, memory.length - at, null);
        if (count === 0) throw new Error("the kernel brought the program down");
        at += count;
      }
    },
    stop() {
      closeSync(to);
      closeSync(from);
      child.kill();
    },
  };
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at, bytes.length - at);
}
