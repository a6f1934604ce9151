/**
 * How the command line ends: 0 done, 1 the input or the model is at fault, 2 usage; data on stdout and nothing else there, one error
 * and its way out on stderr, and no noise when a reader goes away.
 */
import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { packageVersion } from "../../compiler/index.ts";
import { caseFolder } from "../golden/read.ts";
import { demoFolder, shapesFolder, workFolder } from "../model/support.ts";
import { compileModel, lfmc, oneModule } from "./support.ts";

const folder = await workFolder();
const tiny = caseFolder("dense-tiny");
const artefact = join(folder, "tiny");
const nowhere = join(folder, "nowhere");

beforeAll(async () => {
  await compileModel(artefact, tiny, oneModule);
});

describe("0", () => {
  test.each(["--help", "compile --help", "run --help", "forward --help", "inspect --help", "bench --help", "tune --help", "--version"])(
    "lfmc %s",
    async (line) => {
      const { status, stdout, stderr } = await lfmc(line.split(" "));
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      expect(stdout).toContain(line === "--version" ? packageVersion : "Usage: lfmc");
    },
  );
});

describe("1, the input is at fault", () => {
  test.each<readonly [args: readonly string[], message: RegExp, hint: RegExp]>([
    [["compile", nowhere, "-o", join(folder, "out")], /does not exist/, /config\.json/],
    [["compile", folder, "-o", join(folder, "out")], /holds no config\.json/, /config\.json/],
    [["compile", join(shapesFolder, "LFM2-350M"), "-o", join(folder, "out")], /no weights beside it/, /--random-weights/],
    [["compile", join(shapesFolder, "LFM2-350M", "config.json"), "-o", join(folder, "out")], /no weights beside it/, /--random-weights/],
    [["compile", join(tiny, "model.Q5_0.gguf"), "-o", join(folder, "out")], /does not exist/, /one folder/],
    [["compile", tiny, "-o", demoFolder], /no lfmc artefact/, /-o/],
    [["compile", tiny, "-o", join(tiny, "config.json")], /not a folder/, /-o/],
    [["compile", tiny, "--max-memory", "1KB", "-o", join(folder, "out")], /more than 1000/, /--context/],
    [["run", nowhere, "--prompt", "a"], /not an artefact/, /lfmc compile/],
    [["run", demoFolder, "--prompt", "a"], /not an artefact/, /lfmc compile/],
    [["run", artefact, "--tokens", "1,256"], /token 256/, /tokenizer/],
    [["run", artefact, "--tokens", Array.from({ length: 4097 }, () => 1).join(",")], /do not fit the context of 4096/, /--context/],
    [["run", artefact, "--tokens", "1", "--variant", "avx2"], /avx2/, /simd128/],
    [["run", artefact, "--tokens", "1", "--threads", "65"], /65 is not a number of threads/, /1 to 64/],
    [["inspect", nowhere], /does not exist/, /config\.json/],
  ])("lfmc %j", async (args, message, hint) => {
    const before = await readdir(folder);
    const { status, stdout, stderr } = await lfmc(args);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    const [error = "", way = "", ...more] = stderr.trimEnd().split("\n");
    expect(error).toMatch(/^error: /);
    expect(error).toMatch(message);
    expect(error).toMatch(/ \[[a-z]+\/[a-z]+\]$/);
    expect(way).toMatch(/^hint: /);
    expect(way).toMatch(hint);
    expect(more).toEqual([]);
    expect(await readdir(folder)).toEqual(before);
  });
});

describe("2, usage", () => {
  test.each<readonly [line: string, message: RegExp]>([
    ["", /Usage: lfmc/],
    ["frobnicate", /unknown command 'frobnicate'/],
    ["--frob", /unknown option '--frob'/],
    ["compile", /missing required argument 'model'/],
    ["compile MODEL", /-o/],
    ["compile MODEL -o OUT --frob", /unknown option '--frob'/],
    ["compile MODEL -o OUT --quant q3", /--quant.*q3_0, q4_0, q4_1, q8_0, f16, bf16, f32, keep/],
    ["compile MODEL -o OUT --target c-mips", /--target.*wasm-simd/],
    ["compile MODEL -o OUT --context 0", /--context.*whole number/],
    ["compile MODEL -o OUT --context 128001", /--context.*128000/],
    ["compile MODEL -o OUT --tensor-type w2", /--tensor-type.*GLOB=FORMAT/],
    ["compile MODEL -o OUT --max-memory much", /--max-memory.*128MB/],
    ["compile MODEL -o OUT --emit graph,tree", /--emit.*tree/],
    ["compile MODEL -o OUT --name ../up", /--name/],
    ["run ARTEFACT", /--prompt, --tokens/],
    ["run ARTEFACT --prompt a --tokens 1", /--prompt, --tokens/],
    ["run ARTEFACT --tokens 1,x", /--tokens.*whole number/],
    ["run ARTEFACT --tokens 1 --temperature -1", /--temperature.*number/],
    ["run ARTEFACT --tokens 1 --prefill-chunk 0", /--prefill-chunk.*whole number/],
    ["run ARTEFACT extra --tokens 1", /too many arguments/],
    ["forward ARTEFACT -o OUT", /--tokens/],
  ])("lfmc %s", async (line, message) => {
    const places: Readonly<Record<string, string>> = { MODEL: tiny, ARTEFACT: artefact, OUT: join(folder, "out") };
    const args = line.split(" ").flatMap((word) => (word === "" ? [] : [places[word] ?? word]));
    const before = await readdir(folder);
    const { status, stdout, stderr } = await lfmc(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toMatch(message);
    expect(await readdir(folder)).toEqual(before);
  });
});

describe("streams", () => {
  test.each([
    ["inspect", ["inspect", caseFolder("dense-long"), "--kernels"]],
    ["run", ["run", artefact, "--tokens", "1,2,3", "--max-tokens", "500", "--temperature", "0", "--ignore-eos", "--json"]],
  ])("%s ends in silence when its reader goes away", async (_, args) => {
    expect(await lfmc(args, { leaveEarly: true })).toMatchObject({ status: 0, stderr: "" });
  });

  test("colours are for those who want them", async () => {
    const [coloured, plain] = await Promise.all([
      lfmc(["run", nowhere, "--tokens", "1"], { environment: { FORCE_COLOR: "1" } }),
      lfmc(["run", nowhere, "--tokens", "1"], { environment: { FORCE_COLOR: "1", NO_COLOR: "1" } }),
    ]);
    expect(coloured.stderr).toContain("\u001b[");
    expect(plain.stderr).not.toContain("\u001b[");
  });

  test("warnings go to stderr and leave the data alone", async () => {
    const model = join(folder, "unknown-key");
    await mkdir(model);
    await copyFile(join(tiny, "model.safetensors"), join(model, "model.safetensors"));
    const config: unknown = JSON.parse(await readFile(join(tiny, "config.json"), "utf8"));
    await writeFile(join(model, "config.json"), JSON.stringify(Object.assign({}, config, { novel_setting: 3 })));
    const { status, stdout, stderr } = await lfmc(["compile", model, "--dry-run", "--json"]);
    expect(status).toBe(0);
    expect(stderr).toMatch(/^warning: .*novel_setting/m);
    expect(JSON.parse(stdout)).toMatchObject({ name: "unknown-key", warnings: [expect.stringContaining("novel_setting")] });
  });
});
