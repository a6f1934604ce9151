/** `lfmc bench`: an artefact's speed next to the machine's own, or that of single kernels. */
import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Command, Option } from "commander";
import { printTable, type Column } from "../bench/table.ts";
import { firstPrompt } from "../bench/measurement.ts";
import { rooflineSvg } from "../bench/roofline.ts";
import { artefactRecords, kernelFigures, type Host, type BenchRecord, type VariantFigures } from "../bench/records.ts";
import type { KernelFigure } from "../bench/kernels.ts";
import { LfmcError } from "../errors.ts";
import { loadTarget, loadTunedTarget, targetNames, type TargetName } from "../targets.ts";
import { numberList, wholeNumber } from "./flags.ts";
import { artefactManifest, libraryOf } from "./open-artefact.ts";
import { print, progress } from "./report.ts";

interface Flags {
  readonly prompt: number;
  readonly decode: number;
  readonly depth: readonly number[];
  readonly threads: readonly number[];
  readonly variant?: string;
  readonly target: TargetName;
  /** `true` where the flag has no pattern. */
  readonly kernels?: string | true;
  readonly json?: boolean;
  /** With --kernels: a file of `lfmc tune`. */
  readonly tuned?: string;
  /** With --kernels: where to write a roofline plot. */
  readonly svg?: string;
}

export function benchCommand(): Command {
  return new Command("bench")
    .description("measure a model's speed, or that of single kernels, next to the machine's own")
    .argument("[artefact]", "folder written by lfmc compile; not with --kernels")
    .option("--prompt <n>", "tokens of the prompt", wholeNumber(1), 512)
    .option("--decode <n>", "tokens to decode", wholeNumber(1), 64)
    .option("--depth <list>", "tokens in the cache before prompt and decoding: 0,1024", numberList, [0])
    .option("--threads <list>", "threads to run on: 1,2", numberList, [1])
    .option("--variant <name>", "code variant to run")
    .option(
      "--kernels [pattern]",
      "measure the kernels whose name holds the pattern, at shapes of LFM2-350M, LFM2-8B-A1B and the demo model",
    )
    .addOption(new Option("--target <target>", "with --kernels: whose code").choices(targetNames).default("wasm-simd"))
    .option("--tuned <file>", "with --kernels: plan with the tiles of a file of lfmc tune")
    .option("--svg <file>", "with --kernels: write a roofline plot")
    .option("--json", "print the records as JSON")
    .action(async (artefact: string | undefined, flags: Flags) => {
      if ((artefact === undefined) === (flags.kernels === undefined)) {
        throw new LfmcError("usage/argument", "give one of them", {
          subject: "<artefact>, --kernels",
          hint: "lfmc bench DIR, or lfmc bench --kernels",
        });
      }
      for (const name of ["svg", "tuned"] as const) {
        if (flags[name] === undefined || flags.kernels !== undefined) continue;
        throw new LfmcError("usage/flag", "is about kernels, not artefacts", { subject: `--${name}`, hint: "give --kernels too" });
      }
      if (artefact === undefined) await benchKernels(flags);
      else await benchArtefact(artefact, flags);
    });
}

async function benchArtefact(artefact: string, { prompt, decode, depth, threads, variant, json }: Flags): Promise<void> {
  const manifest = await artefactManifest(artefact);
  const place = {
    base: pathToFileURL(`${resolve(artefact)}/`).href,
    library: manifest.target === "wasm-simd" ? null : (await libraryOf(artefact, manifest)).href,
    variant: variant ?? null,
  };
  const work = { prompt, decode, depths: depth, threads };
  const records = await artefactRecords({ manifest, ...place }, loadTarget, work, progress);
  const hasBarriers = records.some(({ barriersPerToken }) => barriersPerToken !== undefined);
  if (json) print(JSON.stringify(records, null, 2));
  else
    print(
      [
        ...describeHosts(records),
        `${artefact}: prompt ${prompt}, decode ${decode} tokens; medians`,
        "",
        printTable(records, [...benchColumns, ...(hasBarriers ? [barrierColumn] : [])]),
        "",
        ...benchNotes,
        ...(hasBarriers ? [barrierNote] : []),
      ].join("\n"),
    );
}

async function benchKernels({ kernels, target, variant, tuned, json, svg }: Flags): Promise<void> {
  const pattern = kernels === undefined || kernels === true ? "" : kernels;
  const variants = await kernelFigures(await loadTunedTarget(target, tuned), { pattern, variant: variant ?? null }, progress);
  if (variants.length === 0) {
    throw new LfmcError("usage/flag", `no kernel's name holds ${JSON.stringify(pattern)}`, {
      subject: "--kernels",
      hint: "lfmc inspect <model> --kernels shows names",
    });
  }
  if (svg !== undefined) await writeFile(svg, rooflineSvg(variants.map((each) => ({ ...each, host: describeHost(each.host) }))));
  if (json) {
    const records = variants.flatMap(({ figures }) => figures.map(({ record }) => record));
    print(JSON.stringify(records, null, 2));
  } else print([...describeHosts(variants.map(({ host }) => host)), ...variants.flatMap(describeVariant)].join("\n"));
}

/** A variant's roofs, then a table for each plan and number of rows, the kernels that take most of its time first. */
function describeVariant({ variant, roofs, figures }: VariantFigures): readonly string[] {
  const rates = `${giga(roofs.dotRate)} GMAC/s (8 x 4 bit) and ${giga(roofs.floatRate)} GMAC/s (f32) in registers`;
  const titles = [...new Set(figures.map(titleOf))];
  const tables = titles.map((title) => {
    const rows = figures.filter((figure) => titleOf(figure) === title).toSorted((a, b) => b.share - a.share);
    return ["", title, printTable(rows, kernelColumns)].join("\n");
  });
  return [`${variant}: reads ${giga(roofs.readBandwidth)} GB/s; ${rates}`, ...tables];
}

/** What the figures of one table share. */
function titleOf({ model, rows, record }: KernelFigure): string {
  return `${model}, ${record.variant}, ${rows} ${rows === 1 ? "row" : "rows"} a call`;
}

/** One line for each engine or compiler. */
function describeHosts(hosts: readonly Host[]): readonly string[] {
  return [...new Set(hosts.map(describeHost))];
}

function describeHost({ engine, cpu }: Host): string {
  return `${engine}; ${cpu}`;
}

function giga(perSecond: number): string {
  return (perSecond / 1e9).toFixed(1);
}

const benchColumns: readonly Column<BenchRecord>[] = [
  { title: "threads", cell: ({ threads }) => String(threads) },
  { title: "variant", cell: ({ variant }) => variant },
  { title: "depth", cell: ({ depth }) => String(depth) },
  { title: "prefill tok/s", cell: ({ prefillTokensPerSecond }) => prefillTokensPerSecond.toFixed(1) },
  { title: "of roof", cell: ({ prefillRoofRatio }) => prefillRoofRatio.toFixed(2) },
  { title: "decode tok/s", cell: ({ decodeTokensPerSecond }) => decodeTokensPerSecond.toFixed(1) },
  { title: "of roof", cell: ({ roofRatio }) => roofRatio.toFixed(2) },
  { title: "first token s", cell: ({ firstTokenSeconds }) => firstTokenSeconds.toFixed(3) },
  { title: "peak MB", cell: ({ peakBytes }) => (peakBytes / 1e6).toFixed(0) },
  { title: "MB/token", cell: ({ bytesPerToken }) => (bytesPerToken / 1e6).toFixed(1) },
  { title: "read GB/s", cell: ({ readBandwidth }) => giga(readBandwidth) },
];

/** Of C alone. */
const barrierColumn: Column<BenchRecord> = {
  title: "barriers",
  cell: ({ barriersPerToken = 0, barrierSeconds = 0, decodeTokensPerSecond }) =>
    `${(100 * barriersPerToken * barrierSeconds * decodeTokensPerSecond).toFixed(2)} %`,
};
const barrierNote = "barriers: what a decoded token's barriers take, each passed as when no thread comes late, of the token's time";

/** What the table's titles are too short for. */
const benchNotes = [
  "of roof: prefill's multiplications over their rate in registers, decoding's bytes over the read bandwidth, on as many threads",
  `first token: after a prompt of ${firstPrompt}, from the call of load in a fresh process, files cached; peak: resident set of a process that does this work`,
];

const kernelColumns: readonly Column<KernelFigure>[] = [
  { title: "share", cell: ({ share }) => `${(share * 100).toFixed(1)} %` },
  { title: "calls", cell: ({ calls }) => String(calls) },
  { title: "us/call", cell: ({ record }) => (record.seconds * 1e6).toFixed(1) },
  { title: "GB/s", cell: ({ record }) => record.gbPerSecond.toFixed(2) },
  { title: "GMAC/s", cell: ({ record }) => record.gmacPerSecond.toFixed(2) },
  { title: "of roof", cell: ({ record }) => record.roofRatio.toFixed(2) },
  { title: "kernel", cell: ({ record }) => record.kernel, left: true },
];
