/** Reads `results.json`, which anybody may have edited, for --replay and --again. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { readJson } from "../import/json-file.ts";
import { invalid, parseWith } from "../import/schema-error.ts";
import { targetNames } from "../targets.ts";
import { withId } from "./genes.ts";
import { quantNames, type Candidate, type Results } from "./types.ts";

const number = v.pipe(v.number("a number"), v.finite("a number"));
const positive = v.pipe(number, v.gtValue(0, "a number above 0"));
const count = v.pipe(number, v.safeInteger("a whole number"), v.minValue(0, "a whole number"));
const size = v.pipe(count, v.minValue(1, "a whole number above 0"));
const text = v.string("a text");
const orNull = <T extends v.GenericSchema>(schema: T) => v.nullable(schema);
const listOf = <T extends v.GenericSchema>(schema: T) => v.pipe(v.array(schema, "a list"), v.maxLength(4096, "a shorter list"));
const record = <T extends v.ObjectEntries>(entries: T) => v.strictObject(entries, "an object with the keys that lfmc explore writes");

const budgetNames = ["max-decode-ms", "max-prefill-ms", "max-memory", "max-parameters"] as const;

const candidate = v.pipe(
  record({
    id: text,
    layers: listOf(v.picklist(["conv", "full_attention"], "conv or full_attention")),
    width: size,
    heads: size,
    kvHeads: size,
    convWidth: size,
    ffnWidth: size,
    experts: orNull(record({ count: size, perToken: size, width: size, denseLayers: count })),
    quant: v.picklist(quantNames, "a format of weights"),
    kv: v.picklist(["f16", "q8_0"], "f16 or q8_0"),
  }),
  // The id names files, and says which of two candidates is meant.
  v.check((each) => each.id === idOf(each), "a candidate whose id is that of its sizes"),
);

function idOf({ id: _, ...genes }: Candidate): string {
  return withId(genes).id;
}

const site = record({
  target: v.picklist(targetNames, `one of ${targetNames.join(", ")}`),
  variant: text,
  engine: text,
  cpu: text,
  threads: size,
});
const refused = record({ refused: text });
const planned = record({ memoryBytes: count, cacheBytes: count, weightBytes: count, parameters: count });
const measured = record({
  decodeMs: positive,
  decodeSpread: number,
  prefillMs: positive,
  memoryBytes: count,
  cacheBytes: count,
  peakBytes: count,
  moduleBytes: count,
  buildSeconds: number,
});
const outcome = v.union([measured, refused], "what was measured, or why it was not");
const point = record({
  candidate,
  parameters: count,
  activeParameters: count,
  quality: orNull(number),
  qualitySource: v.picklist(["capacity", "command", "neighbours"], "a source of quality"),
  qualityFault: orNull(text),
  sites: listOf(
    record({
      planned: v.union([planned, refused], "a plan, or why there is none"),
      predicted: orNull(record({ decodeMs: number, prefillMs: number })),
      measured: orNull(outcome),
      confirmed: orNull(outcome),
      exceeded: listOf(v.picklist(budgetNames, "a budget")),
    }),
  ),
  commands: listOf(text),
});
const model = record({
  figure: v.picklist(["decodeMs", "prefillMs"], "decodeMs or prefillMs"),
  weights: v.record(text, number, "weights"),
  unseenErrors: listOf(number),
  medianError: orNull(number),
});

const schema = record({
  format: v.literal("lfmc-explore", "lfmc-explore, as lfmc explore writes it"),
  version: v.literal(1, "1"),
  lfmc: text,
  command: text,
  seed: count,
  budgets: record({
    decodeMs: orNull(positive),
    prefillMs: orNull(positive),
    memoryBytes: orNull(size),
    parameters: orNull(size),
    margin: number,
  }),
  work: record({ context: size, prompt: size, threads: size }),
  sites: listOf(site),
  space: v.record(text, listOf(v.union([number, text], "a number or a text")), "lists of values"),
  base: record({
    vocab_size: size,
    max_position_embeddings: size,
    norm_eps: positive,
    rope_theta: positive,
    tie_word_embeddings: v.boolean("true or false"),
    bos_token_id: orNull(count),
    eos_token_id: orNull(v.union([count, listOf(count)], "a token id or a list of them")),
    pad_token_id: orNull(count),
  }),
  evaluate: orNull(text),
  screened: count,
  rounds: count,
  endedBy: v.picklist(["measurements", "time", "space"], "how a search ended"),
  points: listOf(point),
  fronts: listOf(listOf(text)),
  predictedFronts: listOf(listOf(point)),
  models: listOf(listOf(model)),
  refusals: listOf(record({ candidate, why: text })),
});

/** The results in a file, or in the folder of a search. Throws io/missing, io/unreadable, config/invalid. */
export async function readResults(path: string): Promise<Results> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  const file = isFolder ? join(path, "results.json") : path;
  return parseResults(await readJson(file), file);
}

/** Parsed JSON as results; `file` names it in errors. Throws config/invalid. */
export function parseResults(json: unknown, file: string): Results {
  const results: Results = parseWith(schema, json, file);
  const fault = contradiction(results);
  return fault === null ? results : invalid(file, fault, "give a file that lfmc explore has written");
}

/** What of the results does not go together; null where all does. */
function contradiction({ sites, points, fronts, predictedFronts, models }: Results): string | null {
  const bySite = [
    fronts,
    predictedFronts,
    models,
    ...[...points, ...predictedFronts.flat()].flatMap((each) => [each.sites, each.commands]),
  ];
  if (bySite.some(({ length }) => length !== sites.length)) return "has not one of everything for each of its sites";
  const measuredIds = new Set(points.map((each) => each.candidate.id));
  const missing = fronts.flat().find((id) => !measuredIds.has(id));
  return missing === undefined ? null : `has a front with ${JSON.stringify(missing)}, which is none of its points`;
}
