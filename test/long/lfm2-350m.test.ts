/**
 * A published size: the shape of LFM2-350M with generated weights. The command line compiles it to q4_0 in under 60 seconds and 3 GB, its
 * module is under 120 KB, and it runs. The bounds are for a machine of two cores that does nothing else.
 */
import { spawn } from "node:child_process";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { json } from "../cli/support.ts";
import { root, shapesFolder, workFolder } from "../model/support.ts";

const folder = await workFolder();
const artefact = join(folder, "lfm2-350m");

/** Runs first in the measured process: at its end it tells the largest memory it ever had, in KiB. */
const tellPeak = `data:text/javascript,process.on("exit",()=>process.stderr.write("peak "+process.resourceUsage().maxRSS+"\\n"))`;

interface Measured {
  readonly status: number | null;
  readonly seconds: number;
  readonly peakBytes: number;
  readonly stderr: string;
}

async function measure(args: readonly string[]): Promise<Measured> {
  const begin = performance.now();
  const child = spawn(process.execPath, ["--import", tellPeak, join(root, "compiler", "cli.ts"), ...args], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (piece: string) => (stderr += piece));
  return await new Promise((resolve, reject) => {
    child.on("error", reject).on("close", (status) => {
      const peakBytes = 1024 * Number(/^peak (\d+)$/m.exec(stderr)?.[1]);
      resolve({ status, stderr, peakBytes, seconds: (performance.now() - begin) / 1000 });
    });
  });
}

test("compiles in under 60 s and 3 GB to a module under 120 KB, and runs", async () => {
  const flags = ["--random-weights", "1", "--quant", "q4_0", "--target", "wasm-simd", "-o", artefact];
  const { status, seconds, peakBytes, stderr } = await measure(["compile", join(shapesFolder, "LFM2-350M"), ...flags]);
  expect(status, stderr).toBe(0);
  const { size } = await stat(join(artefact, "model.simd128.wasm"));
  process.stdout.write(`${seconds.toFixed(1)} s, ${(peakBytes / 1e9).toFixed(2)} GB, module of ${size} bytes\n`);
  expect(seconds).toBeLessThan(60);
  expect(peakBytes).toBeGreaterThan(1e8);
  expect(peakBytes).toBeLessThan(3e9);
  expect(size).toBeLessThan(120_000);

  const run = ["run", artefact, "--tokens", "1,2,3,4,5,6,7,8,9,10", "--max-tokens", "4", "--temperature", "0", "--ignore-eos"];
  const whole = await json(run);
  expect(whole).toMatchObject({ promptTokens: 10, stopReason: "length", text: "" });
  expect(whole.tokens).toHaveLength(4);
  expect((await json([...run, "--prefill-chunk", "3"])).tokens).toEqual(whole.tokens);
});
