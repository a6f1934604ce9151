/**
 * A sampler is a function from logits to a token, so samplers are built like any functions: each of these filters rules tokens out by
 * setting their logits to minus infinity and leaves the choice to the next one. At the end stands the artefact's own sampler, which
 * needs only the logits, the seed and the position, so that the same seed always writes the same text.
 *
 *     node examples/custom-sampling.ts build/demo
 */
import { importArtefact, type Sampler } from "./artefact.ts";

type Filter = (next: Sampler) => Sampler;

const [folder = "build/demo", prompt = "Emma was"] = process.argv.slice(2);
const { load, createSampler } = await importArtefact(folder);

const greedy = createSampler({ temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 0 });
const random = createSampler({ temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 7 });

/** No run of `length` tokens comes twice. */
const neverRepeat =
  (length: number): Filter =>
  (next) =>
  (logits, tokens) => {
    const recent = tokens.slice(tokens.length - (length - 1));
    const allowed = logits.slice();
    for (let end = length - 1; end < tokens.length; end++) {
      const comesAgain = recent.every((token, i) => token === tokens[end - recent.length + i]);
      if (comesAgain) allowed[tokens[end] ?? 0] = -Infinity;
    }
    return next(allowed, tokens);
  };

/**
 * Locally typical sampling (Meister et al., 2022): people say neither the most obvious nor the oddest thing, so keep the tokens whose
 * surprise, -log p, is nearest to the expected one, up to a share of all probability.
 */
const typical =
  (share: number): Filter =>
  (next) =>
  (logits, tokens) => {
    const highest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit - highest), 0);
    const surprises = Array.from(logits, (logit) => highest + Math.log(total) - logit);
    const likelihoods = surprises.map((surprise) => Math.exp(-surprise));
    const expected = likelihoods.reduce((sum, p, id) => (p > 0 ? sum + p * (surprises[id] ?? 0) : sum), 0);
    const distance = (id: number): number => Math.abs((surprises[id] ?? Infinity) - expected);
    const kept = new Float32Array(logits.length).fill(-Infinity);
    let covered = 0;
    for (const id of [...logits.keys()].sort((a, b) => distance(a) - distance(b))) {
      if (covered >= share) break;
      covered += likelihoods[id] ?? 0;
      kept[id] = logits[id] ?? -Infinity;
    }
    return next(kept, tokens);
  };

const samplers: Readonly<Record<string, Sampler>> = {
  greedy,
  "greedy, no three tokens twice": neverRepeat(3)(greedy),
  "typical, no three tokens twice": neverRepeat(3)(typical(0.5)(random)),
};

const model = await load();
const session = model.createSession();
for (const [name, sample] of Object.entries(samplers)) {
  session.reset();
  const { text } = await session.complete(prompt, { maxTokens: 60, sample });
  process.stdout.write(`${name}:\n  ${prompt}${text.replaceAll("\n", " ")}\n`);
}
await model.dispose();
