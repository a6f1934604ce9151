/** `--space FILE`: lists of their own for some genes, in place of the usual ones. */
import * as v from "valibot";
import { readJson } from "../import/json-file.ts";
import { invalid, isRecord, parseWith, shown } from "../import/schema-error.ts";
import { defaultSpace, type Space } from "./space.ts";
import { quantNames } from "./types.ts";

const listOf = <T extends v.GenericSchema>(item: T) =>
  v.optional(v.pipe(v.array(item, "a list"), v.nonEmpty("a list that is not empty"), v.maxLength(256, "a list of at most 256 values")));

/** Numbers in a range; whole multiples of `step` where it is not 0. */
function numbers(least: number, most: number, step: number) {
  const message = step === 0 ? `a number from ${least} to ${most}` : `a multiple of ${step} from ${least} to ${most}`;
  const isIn = (x: number): boolean => x >= least && x <= most && (step === 0 || x % step === 0);
  return listOf(v.pipe(v.number(message), v.check(isIn, message)));
}

const wanted = `an object whose keys are some of ${Object.keys(defaultSpace).join(", ")}`;

const schema = v.strictObject(
  {
    layers: numbers(2, 128, 1),
    width: numbers(64, 8192, 64),
    headSize: numbers(16, 256, 16),
    headsPerKey: numbers(1, 64, 1),
    convWidth: numbers(2, 16, 1),
    ffnRatio: numbers(0.25, 8, 0),
    experts: numbers(0, 256, 1),
    expertsPerToken: numbers(1, 64, 1),
    expertRatio: numbers(0.125, 8, 0),
    denseLayers: numbers(0, 64, 1),
    quant: listOf(v.picklist(quantNames, `one of ${quantNames.join(", ")}`)),
    kv: listOf(v.picklist(["f16", "q8_0"], "f16 or q8_0")),
  },
  wanted,
);

/** The usual space with the lists of a file. Throws io/missing, io/unreadable, config/invalid. */
export async function readSpace(file: string): Promise<Space> {
  return narrowed(await readJson(file), file);
}

/** The same of parsed JSON; lists of numbers are put into rising order. */
export function narrowed(json: unknown, file: string): Space {
  if (!isRecord(json)) return invalid(file, `holds ${shown(json)}; expected ${wanted}`, `correct ${file}`);
  const lists = parseWith(schema, json, file);
  const rising = (values: readonly number[]): readonly number[] => [...new Set(values)].toSorted((a, b) => a - b);
  return {
    layers: rising(lists.layers ?? defaultSpace.layers),
    width: rising(lists.width ?? defaultSpace.width),
    headSize: rising(lists.headSize ?? defaultSpace.headSize),
    headsPerKey: rising(lists.headsPerKey ?? defaultSpace.headsPerKey),
    convWidth: rising(lists.convWidth ?? defaultSpace.convWidth),
    ffnRatio: rising(lists.ffnRatio ?? defaultSpace.ffnRatio),
    experts: rising(lists.experts ?? defaultSpace.experts),
    expertsPerToken: rising(lists.expertsPerToken ?? defaultSpace.expertsPerToken),
    expertRatio: rising(lists.expertRatio ?? defaultSpace.expertRatio),
    denseLayers: rising(lists.denseLayers ?? defaultSpace.denseLayers),
    quant: lists.quant ?? defaultSpace.quant,
    kv: lists.kv ?? defaultSpace.kv,
  };
}
