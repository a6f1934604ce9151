/**
 * The space of LFM2-shaped architectures: what each gene is chosen from, which pattern of layers is allowed, and how points of the space are drawn,
 * changed and crossed. Ranges are those of the published shapes, extended downwards. Every genotype that comes out of here is legal.
 */
import { required } from "../errors.ts";
import type { Genotype } from "./genes.ts";
import type { Random } from "./random.ts";
import type { CacheName, LayerType, QuantName } from "./types.ts";

/** The values of each gene, rising where they are numbers: a mutation mostly goes to a neighbour. */
export interface Space {
  /** Numbers of layers. */
  readonly layers: readonly number[];
  readonly width: readonly number[];
  readonly headSize: readonly number[];
  readonly headsPerKey: readonly number[];
  readonly convWidth: readonly number[];
  readonly ffnRatio: readonly number[];
  readonly experts: readonly number[];
  readonly expertsPerToken: readonly number[];
  readonly expertRatio: readonly number[];
  readonly denseLayers: readonly number[];
  readonly quant: readonly QuantName[];
  readonly kv: readonly CacheName[];
}

const range = (first: number, last: number, step: number): readonly number[] =>
  Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, i) => first + i * step);

export const defaultSpace: Space = {
  layers: range(4, 32, 1),
  width: range(64, 2048, 64),
  headSize: [32, 64],
  headsPerKey: [1, 2, 3, 4, 8],
  convWidth: [3, 4, 5],
  ffnRatio: [1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5],
  experts: [0, 4, 8, 16, 32],
  expertsPerToken: [1, 2, 4],
  expertRatio: [0.5, 0.75, 1, 1.5, 2],
  denseLayers: [1, 2],
  quant: ["q3_0", "q4_0", "q8_0"],
  kv: ["q8_0", "f16"],
};

/** Layers from one attention layer to the next, or from the last one to the end: at most every second, at least one in six. */
const fewestBetween = 2;
const mostBetween = 6;
/** Width of a layer's row for each layer: published shapes have 51 to 128, small ones of their making less. */
const widthPerLayer = { least: 12, most: 128 } as const;

/** Whether an architecture is shaped like LFM2: convolution first, attention neither next to attention nor more than five layers away. */
export function isPattern(layers: readonly LayerType[]): boolean {
  const places = layers.flatMap((kind, i) => (kind === "full_attention" ? [i] : []));
  const [first, last] = [places[0], places.at(-1)];
  if (first === undefined || last === undefined) return false;
  const gaps = places.slice(1).map((place, i) => place - required(places[i], "place"));
  return (
    first >= 1 &&
    first < mostBetween &&
    layers.length - last <= mostBetween &&
    gaps.every((gap) => gap >= fewestBetween && gap <= mostBetween)
  );
}

/** Whether the sizes go together; the pattern is looked at by itself. */
export function isProportioned({ layers, width, headSize, experts, expertsPerToken }: Genotype): boolean {
  const perLayer = width / layers.length;
  return (
    width % headSize === 0 &&
    perLayer >= widthPerLayer.least &&
    perLayer <= widthPerLayer.most &&
    (experts === 0 || 2 * expertsPerToken <= experts)
  );
}

/** Tries before a space counts as empty, or a change as impossible. */
const patience = 1000;

/** A point of the space, drawn evenly gene by gene; null where `patience` draws gave no legal one. */
export function drawGenotype(space: Space, random: Random): Genotype | null {
  return firstLegal(() => ({
    layers: drawLayers(random.pick(space.layers), random),
    width: random.pick(space.width),
    headSize: random.pick(space.headSize),
    headsPerKey: random.pick(space.headsPerKey),
    convWidth: random.pick(space.convWidth),
    ffnRatio: random.pick(space.ffnRatio),
    experts: random.pick(space.experts),
    expertsPerToken: random.pick(space.expertsPerToken),
    expertRatio: random.pick(space.expertRatio),
    denseLayers: random.pick(space.denseLayers),
    quant: random.pick(space.quant),
    kv: random.pick(space.kv),
  }));
}

/** A pattern of so many layers, whose distances between attention layers lie around one that is drawn; not always a legal one. */
function drawLayers(count: number, random: Random): readonly LayerType[] {
  const usual = fewestBetween + random.below(mostBetween - fewestBetween + 1);
  const layers = new Array<LayerType>(count).fill("conv");
  for (let place = 1 + random.below(usual); place < count; place += usual - 1 + random.below(3)) layers[place] = "full_attention";
  return layers;
}

/** The genotype with one or two genes changed; itself where no legal change was found. */
export function mutate(genotype: Genotype, space: Space, random: Random): Genotype {
  const changed = (): Genotype => {
    const once = changeGene(genotype, space, random);
    return random.chance(0.4) ? changeGene(once, space, random) : once;
  };
  return firstLegal(changed) ?? genotype;
}

/** Each gene from one parent or the other, layers whole; the first parent where none of the mixtures is legal. */
export function cross(first: Genotype, second: Genotype, random: Random): Genotype {
  return firstLegal(() => mixture(first, second, random)) ?? first;
}

function mixture(first: Genotype, second: Genotype, random: Random): Genotype {
  const of = <Gene extends keyof Genotype>(gene: Gene): Genotype[Gene] => (random.chance(0.5) ? first : second)[gene];
  return {
    layers: of("layers"),
    width: of("width"),
    headSize: of("headSize"),
    headsPerKey: of("headsPerKey"),
    convWidth: of("convWidth"),
    ffnRatio: of("ffnRatio"),
    experts: of("experts"),
    expertsPerToken: of("expertsPerToken"),
    expertRatio: of("expertRatio"),
    denseLayers: of("denseLayers"),
    quant: of("quant"),
    kv: of("kv"),
  };
}

function firstLegal(make: () => Genotype): Genotype | null {
  for (let i = 0; i < patience; i++) {
    const genotype = make();
    if (isPattern(genotype.layers) && isProportioned(genotype)) return genotype;
  }
  return null;
}

type Change = (genotype: Genotype, space: Space, random: Random) => Genotype;

type NumericGene =
  "width" | "headSize" | "headsPerKey" | "convWidth" | "ffnRatio" | "experts" | "expertsPerToken" | "expertRatio" | "denseLayers";

const stepOf =
  (gene: NumericGene): Change =>
  (genotype, space, random) => ({ ...genotype, [gene]: neighbour(space[gene], genotype[gene], random) });

/** Each as likely as the others. */
const changes: readonly Change[] = [
  (genotype, space, random) => {
    const { layers } = genotype;
    return { ...genotype, layers: resized(layers, neighbour(space.layers, layers.length, random), random) };
  },
  (genotype, _, random) => ({ ...genotype, layers: moved(genotype.layers, random) }),
  (genotype, _, random) => ({ ...genotype, layers: flipped(genotype.layers, random) }),
  (genotype, space, random) => ({ ...genotype, quant: random.pick(space.quant) }),
  (genotype, space, random) => ({ ...genotype, kv: random.pick(space.kv) }),
  stepOf("width"),
  stepOf("headSize"),
  stepOf("headsPerKey"),
  stepOf("convWidth"),
  stepOf("ffnRatio"),
  stepOf("experts"),
  stepOf("expertsPerToken"),
  stepOf("expertRatio"),
  stepOf("denseLayers"),
];

function changeGene(genotype: Genotype, space: Space, random: Random): Genotype {
  return random.pick(changes)(genotype, space, random);
}

/** A value one or two places from the present one in its list, or now and then any. */
function neighbour(values: readonly number[], present: number, random: Random): number {
  if (random.chance(0.2)) return random.pick(values);
  const step = (1 + random.below(2)) * (random.chance(0.5) ? 1 : -1);
  const place = Math.min(values.length - 1, Math.max(0, values.indexOf(present) + step));
  return required(values[place], "value");
}

/** Layers taken out, or convolutions put in, at random places. */
function resized(layers: readonly LayerType[], count: number, random: Random): readonly LayerType[] {
  const result = [...layers];
  while (result.length > count) result.splice(random.below(result.length), 1);
  while (result.length < count) result.splice(random.below(result.length + 1), 0, random.chance(0.25) ? "full_attention" : "conv");
  return result;
}

/** One layer changes places with the next. */
function moved(layers: readonly LayerType[], random: Random): readonly LayerType[] {
  const place = random.below(layers.length - 1);
  return layers.map((kind, i) => (i === place || i === place + 1 ? required(layers[2 * place + 1 - i], "layer") : kind));
}

/** One layer becomes the other kind. */
function flipped(layers: readonly LayerType[], random: Random): readonly LayerType[] {
  const place = random.below(layers.length);
  return layers.map((kind, i) => (i !== place ? kind : kind === "conv" ? "full_attention" : "conv"));
}
