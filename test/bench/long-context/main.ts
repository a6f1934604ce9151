/**
 * `npm run bench:context`: memory and time per token over context, of every published shape and of a plain-attention model of its size, measured where
 * this machine holds them. Writes figures.json, README.md and the plots beside this file. What figures.json has already is kept: delete it to
 * measure all anew. `--shape NAME` measures one shape alone, `--build` only builds its artefacts, `--plan` measures nothing, `--check` only holds made-up
 * prompts against read ones, `--plot` only writes the page anew, `--work DIR` keeps artefacts.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { format } from "prettier";
import { LfmcError } from "../../../compiler/errors.ts";
import { checkShape, buildShape, measureShape, type Place } from "./measure.ts";
import { pageFolder, readFigures, writeFigures, type Figures, type ShapeFigures } from "./figures.ts";
import { page } from "./page.ts";
import { planShape } from "./plans.ts";
import { memoryPlot, timePlot } from "./plots.ts";
import { studyShapes, type StudyShape } from "./study.ts";

/** The shape on which made-up prompts are held against read ones. */
const checkedShape = "LFM2-350M";

const { values: wish } = parseArgs({
  options: {
    shape: { type: "string", multiple: true },
    work: { type: "string" },
    build: { type: "boolean", default: false },
    plan: { type: "boolean", default: false },
    check: { type: "boolean", default: false },
    plot: { type: "boolean", default: false },
  },
});
const say = (line: string): boolean => process.stderr.write(`${line}\n`);
const place: Place = { folder: wish.work ?? join(tmpdir(), `lfmc-context-${process.pid}`), isKept: wish.work !== undefined };

const all = await studyShapes();
let figures = await readFigures();
await mkdir(place.folder, { recursive: true });
try {
  if (!wish.plot && !wish.check) await study(wish.shape ? wish.shape.map(shapeNamed) : all);
  if (wish.check || !(wish.plot || wish.plan || wish.build || wish.shape)) await check(shapeNamed(checkedShape));
} finally {
  if (!place.isKept) await rm(place.folder, { recursive: true, force: true });
}
await writeFile(join(pageFolder, "memory.svg"), memoryPlot(figures));
await writeFile(join(pageFolder, "time.svg"), timePlot(figures));
await writeFile(join(pageFolder, "README.md"), await format(page(figures), { parser: "markdown", printWidth: 140 }));

async function study(shapes: readonly StudyShape[]): Promise<void> {
  for (const shape of shapes) {
    say(shape.names.join(", "));
    const known = figures.shapes.find(({ names }) => names[0] === shape.names[0]);
    const planned = known ?? (await planShape(shape));
    if (wish.build) await buildShape(shape, planned, place);
    else await keep(wish.plan ? planned : await measureShape(shape, planned, place, say));
  }
}

async function check(shape: StudyShape): Promise<void> {
  say(`${shape.names.join(", ")}: prompts that were read, and such that were made up`);
  figures = { ...figures, check: await checkShape(shape, place) };
  await writeFigures(figures);
}

/** The figures with those of a shape in place of the shape's earlier ones, in the study's order. */
async function keep(found: ShapeFigures): Promise<void> {
  const others = figures.shapes.filter(({ names }) => names[0] !== found.names[0]);
  const order = all.map(({ names }) => names[0]);
  const shapes = [...others, found].toSorted((a, b) => order.indexOf(a.names[0]) - order.indexOf(b.names[0]));
  const kept: Figures = { ...figures, shapes };
  await writeFigures(kept);
  figures = kept;
}

function shapeNamed(name: string): StudyShape {
  const found = all.find(({ names }) => names.includes(name));
  if (found) return found;
  throw new LfmcError("usage/flag", `no shape is called ${name}`, {
    subject: "--shape",
    hint: `one of ${all.flatMap(({ names }) => names).join(", ")}`,
  });
}
