/**
 * The search with the device in the loop. A sample gives the cost models their first view of the space; then evolution under the models proposes
 * candidates, a batch of them is built and measured, and the models are fitted anew. At the end the front is built and measured once more, and what does
 * not keep the budgets both times is no part of it. Nothing here reads a clock or draws from anything but the seed: the same measurements give the same
 * search.
 */
import { required } from "../errors.ts";
import type { Entry, Proposal } from "./entry.ts";
import { siteFront, type Standard } from "./front.ts";
import { fitModels, type Models } from "./models.ts";
import { frontOf } from "./pareto.ts";
import { evolveAt, isKnown, propose, proposeSample, type Idea, type Known } from "./proposals.ts";
import { createRandom, type Random } from "./random.ts";
import type { Space } from "./space.ts";
import { farthest, objectiveDistance } from "./spread.ts";
import { isRefused, type BySite, type Candidate, type Laboratory, type Results } from "./types.ts";

/** Says whether there is time left; a replay says what the first run said. */
export interface Pace {
  /** Whether `pending` more candidates, the front's second measurements among them, can be measured after so many rounds and measurements. */
  readonly allows: (rounds: number, measured: number, pending: number) => boolean;
}

export interface SearchInput extends Standard {
  readonly laboratory: Laboratory;
  readonly space: Space;
  readonly seed: number;
  /** Candidates to measure at most, the front's second measurements not counted. */
  readonly measurements: number;
  readonly pace: Pace;
  readonly onProgress: (progress: SearchProgress) => void;
}

/** How far a search has come. */
interface State {
  readonly entries: readonly Entry[];
  /** Batches measured. */
  readonly rounds: number;
  /** Candidates that the models have looked at. */
  readonly screened: number;
}

/** What has just been done. */
export interface SearchProgress extends State {
  readonly stage: "measured" | "confirmed";
}

export interface Found extends State {
  readonly endedBy: Results["endedBy"];
  /** By site; best quality first, all of them measured twice. */
  readonly fronts: BySite<readonly Entry[]>;
  /** By site: what stands on the front of the last models and was not built. */
  readonly predictedFronts: BySite<readonly Proposal[]>;
  readonly models: Models;
  readonly refusals: readonly { readonly candidate: Candidate; readonly why: string }[];
}

const batchSize = 6;
/** Rounds of samples, before there is anything to evolve from. */
const sampleRounds = 2;
/** Points of a predicted front that are told. */
const predictedPoints = 12;
const refusalsTold = 20;

/** Searches. The laboratory stays open. */
export async function search(input: SearchInput): Promise<Found> {
  const { laboratory, frame, judge, measurements, pace, onProgress } = input;
  const random = createRandom(input.seed);
  const setAside: SetAside = new Map();
  let state: State = { entries: [], rounds: 0, screened: 0 };
  let endedBy: Found["endedBy"] = "measurements";
  while (state.entries.length < measurements) {
    const { entries, rounds } = state;
    const room = Math.min(batchSize, measurements - entries.length);
    if (!pace.allows(rounds, entries.length, room + unconfirmed(entries, input).length)) {
      endedBy = "time";
      break;
    }
    const models = fitModels(entries, frame);
    const known: Known = { measured: entries, refused: new Set(setAside.keys()) };
    const isSample = rounds < sampleRounds;
    const { ideas, screened } = (isSample ? proposeSample : propose)({ ...input, models, random }, known, room);
    const batch = await planBatch(ideas, room, input, isSample ? null : models, setAside);
    if (batch.length === 0) {
      endedBy = "space";
      break;
    }
    const candidates = batch.map(({ candidate }) => candidate);
    const measured = await laboratory.measure(candidates);
    await judge.learn(candidates);
    const added = batch.map((proposal, i): Entry => ({ ...proposal, measured: required(measured[i], "measurement"), confirmed: null }));
    state = { entries: [...entries, ...added], rounds: rounds + 1, screened: state.screened + screened };
    onProgress({ ...state, stage: "measured" });
  }
  state = { ...state, entries: await confirmFronts(state, input) };
  return { ...state, endedBy, ...(await conclude(state, input, random, setAside)) };
}

/** Candidates that are not to be built: the compiler's reason, or null for those whose plan exceeds the memory's budget. */
type SetAside = Map<string, { readonly candidate: Candidate; readonly why: string | null }>;

/** The first ideas that can be built and whose plans keep the budget of memory somewhere. The others are set aside. */
async function planBatch(
  ideas: readonly Idea[],
  room: number,
  { laboratory, budgets }: SearchInput,
  models: Models | null,
  setAside: SetAside,
): Promise<readonly Proposal[]> {
  const batch: Proposal[] = [];
  for (const { genotype, candidate } of ideas) {
    if (batch.length === room) break;
    const planned = await laboratory.plan(candidate);
    const possible = planned.flatMap((outcome) => (isRefused(outcome) ? [] : [outcome]));
    const fits = possible.some(({ memoryBytes }) => memoryBytes <= (budgets.memoryBytes ?? Infinity));
    if (fits) batch.push({ genotype, candidate, planned, predicted: models?.predict(candidate) ?? null });
    else setAside.set(candidate.id, { candidate, why: possible.length === 0 ? (planned.find(isRefused)?.refused ?? null) : null });
  }
  return batch;
}

/** What stands on a front and was measured once. */
function unconfirmed(entries: readonly Entry[], input: SearchInput): readonly Entry[] {
  const onFront = new Set(input.laboratory.sites.flatMap((_, site) => siteFront(entries, site, input)));
  return entries.filter((entry) => onFront.has(entry) && entry.confirmed === null);
}

/** The fronts of what was measured twice. */
function confirmedFronts(entries: readonly Entry[], input: SearchInput): Found["fronts"] {
  const confirmed = entries.filter((entry) => entry.confirmed !== null);
  return input.laboratory.sites.map((_, site) => siteFront(confirmed, site, input));
}

/** Measures the fronts once more; and those behind them, where nothing of one has kept the budgets. */
async function confirmFronts(state: State, input: SearchInput): Promise<readonly Entry[]> {
  let { entries } = state;
  do {
    const waiting = unconfirmed(entries, input);
    if (waiting.length === 0) break;
    for (let start = 0; start < waiting.length; start += batchSize) {
      const batch = waiting.slice(start, start + batchSize);
      const measured = await input.laboratory.measure(batch.map(({ candidate }) => candidate));
      entries = entries.map((entry) => {
        const place = batch.indexOf(entry);
        return place < 0 ? entry : { ...entry, confirmed: required(measured[place], "measurement") };
      });
      input.onProgress({ ...state, entries, stage: "confirmed" });
    }
  } while (confirmedFronts(entries, input).some((front) => front.length === 0));
  return entries;
}

/** The fronts, those that the last models foretell, and what was refused on the way. */
async function conclude(
  { entries }: State,
  input: SearchInput,
  random: Random,
  setAside: SetAside,
): Promise<Pick<Found, "fronts" | "predictedFronts" | "models" | "refusals">> {
  const models = fitModels(entries, input.frame);
  const known: Known = { measured: entries, refused: new Set(setAside.keys()) };
  const predictedFronts: (readonly Proposal[])[] = [];
  for (const site of input.laboratory.sites.keys()) {
    const { population } = evolveAt(site, { ...input, models, random }, known);
    const fresh = frontOf(population).filter(({ violation, candidate }) => violation === 0 && !isKnown(candidate, known));
    const spread = farthest(fresh, (point) => point, [], objectiveDistance(population), predictedPoints);
    predictedFronts.push(await planBatch(spread, predictedPoints, input, models, setAside));
  }
  const refusals = [...setAside.values()].flatMap(({ candidate, why }) => (why === null ? [] : [{ candidate, why }]));
  return {
    fronts: confirmedFronts(entries, input),
    predictedFronts,
    models,
    refusals: refusals.slice(0, refusalsTold),
  };
}
