/** `lfmc tune`: the best tiles on this machine, measured, as a file for `lfmc compile --tuned`. */
import { stat } from "node:fs/promises";
import { Command, Option } from "commander";
import { printTable, type Column } from "../bench/table.ts";
import { manyRows, type TileTiming } from "../bench/tile-timings.ts";
import { tuneTarget } from "../bench/tune.ts";
import { LfmcError, required } from "../errors.ts";
import { readJson } from "../import/json-file.ts";
import { isTuned, type TunedFile } from "../import/tuned-file.ts";
import { tileName } from "../kernel/library/gemm.ts";
import { loadTarget, targetNames, type TargetName } from "../targets.ts";
import { print, progress } from "./report.ts";
import { writeWhole } from "./write-whole.ts";

interface Flags {
  readonly target: TargetName;
  readonly variant?: string;
  readonly output: string;
  readonly json?: boolean;
}

export function tuneCommand(): Command {
  return new Command("tune")
    .description("measure which tiles of matrix products are fastest on this machine, and write them to a file for compile --tuned")
    .addOption(new Option("--target <target>", "whose code").choices(targetNames).default("wasm-simd"))
    .option("--variant <name>", "code variant to measure (default: all that this machine runs)")
    .option("-o, --output <file>", "the file to write; an earlier one of lfmc tune is replaced", "lfmc-tuned.json")
    .option("--json", "print the file's content as JSON too")
    .action(async ({ target, variant, output, json }: Flags) => {
      await checkReplaceable(output);
      const tuned = await tuneTarget(await loadTarget(target), variant ?? null, progress);
      await writeWhole(output, `${JSON.stringify(tuned, null, 2)}\n`);
      print(json ? JSON.stringify(tuned, null, 2) : describe(tuned, output));
    });
}

/** A slip in `-o` must not cost a user's file. Throws io/exists. */
async function checkReplaceable(path: string): Promise<void> {
  const exists = await stat(path).then(
    () => true,
    () => false,
  );
  if (!exists) return;
  const content = await readJson(path).catch(() => null);
  if (isTuned(content)) return;
  throw new LfmcError("io/exists", "exists and was not written by lfmc tune", { subject: path, hint: "choose another file with -o" });
}

/** A line of the table: a format's best tile. */
interface Best {
  readonly variant: string;
  readonly format: string;
  readonly tile: string;
  readonly one: string;
  readonly many: string;
}

const columns: readonly Column<Best>[] = [
  { title: "variant", cell: ({ variant }) => variant },
  { title: "weights", cell: ({ format }) => format },
  { title: "1 row GMAC/s", cell: ({ one }) => one },
  { title: `${manyRows} rows GMAC/s`, cell: ({ many }) => many },
  { title: "atom and tile", cell: ({ tile }) => tile, left: true },
];

function describe({ engine, cpu, target, variants }: TunedFile, output: string): string {
  const rows = variants.flatMap(({ variant, formats }) =>
    formats.map(({ format, best: { atom, tile }, timings }): Best => {
      const own = timings.filter((timing) => timing.atom === atom);
      const one = own.filter((timing) => timing.rows === 1 && timing.tile.streamedPanels === tile.streamedPanels);
      const many = own.filter(
        (timing) => timing.rows > 1 && timing.tile.rows === tile.rows && timing.tile.unpackedParts === tile.unpackedParts,
      );
      return { variant, format, tile: `${atom} ${tileName(tile)}`, one: rates(one), many: rates(many) };
    }),
  );
  const shapes = variants[0]?.formats[0]?.timings.map(({ shape }) => `${shape.rows} x ${shape.columns}`) ?? [];
  const fits = variants.map(({ variant, fit }) => {
    const [perOperation, perLoad] = [fit.secondsPerOperation, fit.secondsPerLoad].map((seconds) => `${(seconds * 1e9).toFixed(3)} ns`);
    const loss = `the tile that these would choose is up to ${percent(fit.largestLoss)} slower than the fastest`;
    return `${variant}: ${required(perOperation, "weight")} an operation, ${required(perLoad, "weight")} a load, off by ${percent(fit.meanError)}; ${loss}`;
  });
  return [
    `${engine}; ${cpu}`,
    `matrices ${[...new Set(shapes)].join(", ")}`,
    "",
    printTable(rows, columns),
    "",
    ...fits,
    "",
    `${output}: lfmc compile MODEL -o DIR --target ${target} --tuned ${output}`,
  ].join("\n");
}

/** GMAC/s at each shape. */
function rates(timings: readonly Pick<TileTiming, "shape" | "rows" | "seconds">[]): string {
  return timings.map(({ shape, rows, seconds }) => ((rows * shape.rows * shape.columns) / seconds / 1e9).toFixed(1)).join(", ");
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
