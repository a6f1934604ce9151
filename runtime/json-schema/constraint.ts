/** A grammar as a constraint on tokens: which may come next, and when the text is complete. */
import type { Constraint } from "../constraint.ts";
import { Automaton, type State } from "./automaton.ts";
import { LfmcError } from "../index.ts";
import type { Manifest } from "../manifest.ts";
import type { Tokenizer } from "../tokenizer.ts";
import type { Item } from "./items.ts";
import { TokenTree, allowToken } from "./tokens.ts";

/** What is needed of a model: a loaded one has it. */
export interface GrammarModel {
  /** Its vocabulary and end tokens. */
  readonly manifest: Pick<Manifest, "tokens"> & { readonly model: Pick<Manifest["model"], "vocabSize"> };
  /** What the texts of tokens are; without one there is no constraint. */
  readonly tokenizer: Tokenizer | null;
}

interface Vocabulary {
  readonly tree: TokenTree;
  /** Automata by what they were made from, the latest last. */
  readonly automata: Map<string, Automaton>;
}

const vocabularies = new WeakMap<Tokenizer, Vocabulary>();
const mostAutomata = 16;

/**
 * Allows the tokens whose bytes go on with a text of the grammar that `make` gives; end tokens where it is complete. Grammars are kept by
 * `name`. Throws `run/input` for a model without a tokenizer, and from the constraint for tokens that it did not allow.
 */
export function grammarConstraint(model: GrammarModel, name: string, make: () => Item): Constraint {
  const { tokens: special, model: facts } = model.manifest;
  const { tree, automata } = vocabularyOf(model.tokenizer, facts.vocabSize);
  const automaton = automata.get(name) ?? new Automaton(make(), tree.longest);
  automata.delete(name);
  automata.set(name, automaton);
  for (const [oldest] of automata) if (automata.size > mostAutomata) automata.delete(oldest);
  const follow = follower(automaton, model.tokenizer);
  return (generated) => {
    const state = automaton.short(follow(generated));
    if (state.mask) return state.mask;
    const mask = new Uint32Array(Math.ceil(facts.vocabSize / 32));
    tree.allow(mask, automaton, state);
    if (state.isComplete) for (const token of special.eos) allowToken(mask, token);
    state.mask = mask;
    return mask;
  };
}

/** The state after tokens. Those along the last ones are kept, so that going on and going back cost little. */
function follower(automaton: Automaton, tokenizer: Tokenizer | null): (tokens: readonly number[]) => State {
  let path: { readonly token: number; readonly state: State }[] = [];
  let start: State | null = null;
  return (tokens) => {
    const initial = automaton.initial();
    if (initial !== start) path = [];
    start = initial;
    const differs = path.findIndex(({ token }, at) => token !== tokens[at]);
    if (differs >= 0) path = path.slice(0, differs);
    for (const token of tokens.slice(path.length)) {
      let state: State | null = path.at(-1)?.state ?? initial;
      for (const byte of tokenizer?.bytesOf(token) ?? []) state = state && automaton.step(state, byte);
      if (state === null)
        throw new LfmcError("run/input", `token ${token} may not come there`, {
          subject: "constrain",
          hint: "Give each generation a constraint of its own, and let it choose all tokens.",
        });
      path.push({ token, state });
    }
    return path.at(-1)?.state ?? initial;
  };
}

function vocabularyOf(tokenizer: Tokenizer | null, size: number): Vocabulary {
  if (!tokenizer)
    throw new LfmcError("run/input", "needs a tokenizer, the artefact has none", {
      subject: "constrain",
      hint: "Compile the model with its tokenizer.json.",
    });
  const known = vocabularies.get(tokenizer);
  if (known?.tree.size === size) return known;
  const vocabulary = { tree: new TokenTree(size, (token) => tokenizer.bytesOf(token)), automata: new Map<string, Automaton>() };
  vocabularies.set(tokenizer, vocabulary);
  return vocabulary;
}
