/** Compiles that are cut short, by a signal or by the disk: what was in the artefact's place stays whole, and nothing else is left beside it. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { caseFolder } from "../golden/read.ts";
import { root } from "../model/support.ts";
import { refused, workFolder, writeFiles } from "./support.ts";

const folder = await workFolder();
const model = caseFolder("dense-tiny");
const cli = [join(root, "compiler", "cli.ts"), "compile", model, "--features", "simd128", "--context", "32"];

/** That of the command line's tests. */
const compileCache = join(root, "node_modules", ".cache", "lfmc-tests");

/** Starts a compile in a process of its own. */
function start(output: string, ...flags: readonly string[]) {
  const child = spawn(process.execPath, [...cli, "-o", output, ...flags], {
    env: { ...process.env, NODE_COMPILE_CACHE: compileCache },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const ended = new Promise<{ status: number | null; signal: NodeJS.Signals | null; stderr: string }>((resolve) => {
    child.on("close", (status, signal) => {
      resolve({ status, signal, stderr });
    });
  });
  return { child, ended };
}

/** Waits until a folder of that name is there, then for a while. */
async function untilWriting(folder: string, milliseconds: number): Promise<void> {
  const end = Date.now() + 40_000;
  while (!existsSync(folder)) {
    if (Date.now() > end) throw new Error("nothing is written");
    await setTimeout(1);
  }
  await setTimeout(milliseconds);
}

/** One sha256 of all that is in a folder, names included. */
async function fingerprint(path: string): Promise<string> {
  const hash = createHash("sha256");
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  for (const entry of entries.toSorted((a, b) => (join(a.parentPath, a.name) < join(b.parentPath, b.name) ? -1 : 1))) {
    hash.update(entry.name);
    if (entry.isFile()) hash.update(await readFile(join(entry.parentPath, entry.name)));
  }
  return hash.digest("hex");
}

describe.each<{ readonly isEarlier: boolean; readonly signals: readonly ("SIGINT" | "SIGTERM" | "SIGHUP" | "SIGKILL")[] }>([
  { isEarlier: false, signals: ["SIGINT", "SIGKILL"] },
  { isEarlier: true, signals: ["SIGTERM", "SIGHUP", "SIGKILL", "SIGKILL"] },
])("compiles, over an earlier artefact: $isEarlier", ({ isEarlier, signals }) => {
  test(`ended at any moment by ${signals.join(", ")}; the next one tidies up`, async () => {
    const parent = await writeFiles(join(folder, `killed-${isEarlier}`), {});
    const output = join(parent, "artefact");
    if (isEarlier) await compile({ model, target: "wasm-simd", features: ["simd128"], output, context: 48 });
    const earlier = isEarlier ? await fingerprint(output) : null;
    await Promise.all(
      signals.map(async (signal, i) => {
        const { child, ended } = start(output);
        await untilWriting(join(parent, `.artefact.${child.pid}.partial`), 40 * i * Math.random());
        child.kill(signal);
        const { status, signal: by, stderr } = await ended;
        expect(stderr).toBe("");
        if (signal === "SIGKILL") expect(by).toBe(signal);
        else expect(status).toBe({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal]);
      }),
    );
    const left = await readdir(parent);
    expect(left.filter((name) => !/^\.artefact\.\d+\.partial$/.test(name))).toEqual(isEarlier ? ["artefact"] : []);
    expect(left.filter((name) => name.endsWith(".partial")).length).toBeLessThanOrEqual(2);
    if (isEarlier) expect(await fingerprint(output)).toBe(earlier);
    await compile({ model, target: "wasm-simd", features: ["simd128"], output, context: 32 });
    expect(await readdir(parent)).toEqual(["artefact"]);
    if (isEarlier) expect(await fingerprint(output)).not.toBe(earlier);
  });
});

test("an artefact that was moved away for one that never came is there again", async () => {
  const old = '"lfmc-artefact", but an old one';
  const parent = await writeFiles(join(folder, "moved"), {
    ".artefact.9999999.old/manifest.json": old,
    ".artefact.9999999.partial/manifest.json": "half",
    [`.artefact.${process.ppid}.partial/manifest.json`]: "of a process that runs",
    ".artefact.9999999.txt/a": "of somebody else",
  });
  const output = join(parent, "artefact");
  const onProgress = (): never => {
    throw new Error("the caller has had enough");
  };
  const options = { model, target: "wasm-simd", features: ["simd128"], output, context: 32 } as const;
  await expect(compile({ ...options, onProgress })).rejects.toThrow("enough");
  expect(await readFile(join(output, "manifest.json"), "utf8")).toBe(old);
  const others = [`.artefact.${process.ppid}.partial`, ".artefact.9999999.txt"];
  expect((await readdir(parent)).toSorted()).toEqual([...others, "artefact"].toSorted());
  await compile(options);
  expect(await readFile(join(output, "manifest.json"), "utf8")).not.toBe(old);
  expect((await readdir(parent)).toSorted()).toEqual([...others, "artefact"].toSorted());
});

describe("the system refuses", () => {
  test("a file that may not grow, as on a full disk", async () => {
    const parent = await writeFiles(join(folder, "full"), { "artefact/manifest.json": '"lfmc-artefact"' });
    const limited = ["-c", 'ulimit -f 40; exec "$@"', "sh", process.execPath, ...cli, "-o", join(parent, "artefact")];
    const { status, stderr } = spawnSync("sh", limited, { encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } });
    expect(stderr).toMatch(/^error: .*artefact: cannot be written: EFBIG.* \[io\/unreadable\]\nhint: .*\n$/);
    expect(status).toBe(1);
    expect(await readdir(parent)).toEqual(["artefact"]);
    expect(await readdir(join(parent, "artefact"))).toEqual(["manifest.json"]);
  });

  test.each(["/proc/artefact", "/proc/none/artefact", join(folder, "x".repeat(250))])(
    "a folder that cannot be made: %s",
    async (output) => {
      const error = await refused(() => compile({ model, target: "wasm-simd", features: ["simd128"], output, context: 32 }));
      expect(error.code).toMatch(/^io\//);
    },
  );
});
