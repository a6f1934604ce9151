/** The file that `lfmc tune` writes and `lfmc compile --tuned` reads: the best tiles of a target's variants on one machine, and what was measured. */
import * as v from "valibot";
import { readJson } from "./json-file.ts";
import { invalid, isRecord, parseWith, shown } from "./schema-error.ts";

/** Tells the file from other JSON. */
export const tunedFormat = "lfmc-tuned";
export const tunedVersion = 1;

const sizes = (what: string) => v.pipe(v.number(what), v.integer(what), v.minValue(1, what));
const seconds = v.pipe(v.number("a number above 0"), v.finite("a number above 0"), v.minValue(Number.MIN_VALUE, "a number above 0"));
const count = v.pipe(v.number("a number from 0"), v.finite("a number from 0"), v.minValue(0, "a number from 0"));
const weight = v.pipe(v.number("a number"), v.finite("a number"));
const text = v.string("a string");

const tileSchema = v.object(
  {
    rows: sizes("a whole number from 1"),
    unpackedParts: v.nullable(sizes("null or a whole number from 1")),
    streamedPanels: v.nullable(sizes("null or a whole number from 1")),
  },
  "an object with rows, unpackedParts and streamedPanels",
);

const formatSchema = v.object({
  format: v.picklist(["q4_0", "q8_0"], "q4_0 or q8_0"),
  best: v.object({ atom: text, tile: tileSchema }, "an object with atom and tile"),
  timings: v.array(
    v.object({
      atom: text,
      tile: tileSchema,
      shape: v.object({ rows: sizes("a whole number from 1"), columns: sizes("a whole number from 1") }, "an object with rows and columns"),
      rows: sizes("a whole number from 1"),
      seconds,
      operations: count,
      loads: count,
    }),
    "a list of timings",
  ),
});

const tunedSchema = v.object({
  format: v.literal(tunedFormat),
  version: v.literal(tunedVersion),
  lfmc: text,
  engine: text,
  cpu: text,
  target: text,
  variants: v.array(
    v.object({
      variant: text,
      fit: v.object(
        { secondsPerOperation: weight, secondsPerLoad: weight, meanError: count, largestLoss: count },
        "an object with secondsPerOperation, secondsPerLoad, meanError and largestLoss",
      ),
      formats: v.array(formatSchema, "a list of formats"),
    }),
    "a list of variants",
  ),
});

/** What the file holds. */
export type TunedFile = v.InferOutput<typeof tunedSchema>;

/** Reads the file at `path`. Throws io/missing, io/unreadable; config/invalid where it is no such file, or one of another version. */
export async function readTunedFile(path: string): Promise<TunedFile> {
  const json = await readJson(path);
  if (!isTuned(json)) return invalid(path, "is not a file that lfmc tune wrote", "make one: lfmc tune -o FILE");
  const { version } = json;
  if (version !== tunedVersion) {
    return invalid(path, `has version ${shown(version)}; this lfmc reads version ${tunedVersion}`, "make it anew: lfmc tune -o FILE");
  }
  return parseWith(tunedSchema, json, path);
}

/** Whether a JSON value is of such a file, of whatever version. */
export function isTuned(json: unknown): json is Readonly<Record<string, unknown>> {
  return isRecord(json) && json.format === tunedFormat;
}
