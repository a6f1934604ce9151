"""Greedy decoding several tokens a forward pass, over a batch of prompts: Jacobi decoding with and without a pool of
n-grams, and look-up. Each gives the tokens of plain greedy decoding.

    python3 decode.py FOLDER...      passes per token over 200 prompts from held-back text, and its perplexity
"""

import importlib.util
import json
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

HERE = Path(__file__).resolve().parent
WINDOW = 16  # rows of one forward pass: the last accepted token and the guesses after it
PROMPT, NEW = 32, 64


def load_demo():
    """The module ../train.py, which has the model, under a name that isn't our own train.py's."""
    spec = importlib.util.spec_from_file_location("demo_train", HERE.parent / "train.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo_train"] = module
    spec.loader.exec_module(module)
    return module


demo = load_demo()


def load_model(folder):
    model = demo.Model(replace(demo.DENSE, dropout=0.0))
    tensors = load_file(Path(folder) / "model.safetensors")
    model.load_state_dict({name.removeprefix("model."): value.float() for name, value in tensors.items()})
    return model


# ---- The forward pass over blocks of rows that follow a context.


def empty_context(model, rows, length=0):
    """Per layer what later rows read: keys and values [rows, 2 * kv_heads, length, head_size], or a convolution's inputs
    [rows, length, hidden]."""
    shape = model.shape
    return [
        torch.zeros(rows, 2 * shape.kv_heads, length, shape.head_size)
        if layer.is_attention
        else torch.zeros(rows, length, shape.hidden)
        for layer in model.layers
    ]


def extend(model, context, ids, starts):
    """Evaluates blocks of rows, each by itself after the first `starts` positions of the context.

    ids [rows, blocks, width], starts [rows, blocks]; gives activations [rows, blocks * width, hidden] ready for the
    output layer, and per layer what these rows add to the context.
    """
    rows, blocks, width = ids.shape
    length = context[0].shape[1]
    positions = (starts.unsqueeze(-1) + torch.arange(width)).flatten(1)
    cosines, sines = demo.rope_tables(model.shape, int(positions.max()) + 1)
    rope = cosines[positions].unsqueeze(1), sines[positions].unsqueeze(1)
    is_past = torch.arange(length) < starts.unsqueeze(-1)  # [rows, blocks, length]
    is_past = is_past.repeat_interleave(width, 1)
    is_own = torch.block_diag(*[torch.ones(width, width).tril().bool()] * blocks).expand(rows, -1, -1)
    mask = torch.cat([is_past, is_own], -1).unsqueeze(1)

    x = model.embed_tokens(ids.flatten(1))
    added = []
    for layer, past in zip(model.layers, context):
        normal = layer.operator_norm(x)
        if layer.is_attention:
            mixed, own = attend(layer.self_attn, normal, past, rope, mask)
        else:
            mixed, own = convolve(layer.conv, normal, past, starts, width)
        added.append(own)
        x = x + layer.dropout(mixed)
        x = x + layer.dropout(layer.feed_forward(layer.ffn_norm(x)))
    return model.embedding_norm(x), added


def attend(attention, x, past, rope, mask):
    shape = attention.shape

    def heads(projected):
        return projected.unflatten(-1, (-1, shape.head_size)).transpose(1, 2)

    query = demo.rotate(attention.q_layernorm(heads(attention.q_proj(x))), rope)
    key = demo.rotate(attention.k_layernorm(heads(attention.k_proj(x))), rope)
    own = torch.cat([key, heads(attention.v_proj(x))], 1)
    key, value = torch.cat([past, own], 2).repeat_interleave(shape.heads // shape.kv_heads, 1).chunk(2, 1)
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return attention.out_proj(mixed.transpose(1, 2).flatten(2)), own


def convolve(conv, x, past, starts, width):
    rows, blocks = starts.shape
    gate_in, gate_out, value = conv.in_proj(x).chunk(3, -1)
    own = gate_in * value
    taps = conv.conv.weight[:, 0]
    reach = taps.shape[1] - 1
    # The positions right before each block; those before the text are zeros.
    before = (starts.unsqueeze(-1) + torch.arange(reach)).flatten(1)
    before = before.unsqueeze(-1).expand(-1, -1, x.shape[-1])
    before = F.pad(past, (0, 0, reach, 0)).gather(1, before)
    padded = torch.cat([before.unflatten(1, (blocks, reach)), own.unflatten(1, (blocks, width))], 2)
    mixed = sum(padded[:, :, tap : tap + width] * taps[:, tap] for tap in range(reach + 1))
    return conv.out_proj(gate_out * mixed.flatten(1, 2)), own


def logits_of(model, x):
    return F.linear(x, model.embed_tokens.weight)


class Cache:
    """A context with room for `length` positions a row, filled in as decoding goes on."""

    def __init__(self, model, rows, length):
        self.model = model
        self.context = empty_context(model, rows, length)

    def evaluate(self, rows, ids, starts):
        """Evaluates ids [n, width] for the sequences `rows` from position `starts` [n] on; gives the best next tokens."""
        needed = int(starts.max())
        past = [self.slice(layer, needed)[rows] for layer in self.context]
        x, added = extend(self.model, past, ids.unsqueeze(1), starts.unsqueeze(1))
        positions = starts.unsqueeze(1) + torch.arange(ids.shape[1])
        for layer, own in zip(self.context, added):
            if layer.dim() == 4:
                layer[rows.unsqueeze(1), :, positions] = own.transpose(1, 2)
            else:
                layer[rows.unsqueeze(1), positions] = own
        return logits_of(self.model, x)

    @staticmethod
    def slice(layer, length):
        return layer[:, :, :length] if layer.dim() == 4 else layer[:, :length]


# ---- Guesses.


@dataclass(frozen=True)
class Rules:
    """How the guesses of a forward pass come about."""

    window: int = WINDOW
    jacobi: bool = True  # from the outputs of the last pass
    contexts: tuple = ()  # before that: from what followed the last tokens where they stood before; their numbers, in order


GREEDY = Rules(window=1, jacobi=False)
PLAIN = Rules()
POOL = Rules(contexts=(3, 2))
LOOKUP = Rules(jacobi=False, contexts=(3, 2, 1))


class Text:
    """The accepted tokens of a sequence, with an index of their n-grams."""

    def __init__(self, rules):
        self.rules = rules
        self.tokens = []
        self.after = {}  # an n-gram: the place of the token that followed it last

    def accept(self, tokens):
        for token in tokens:
            for length in self.rules.contexts:
                if len(self.tokens) >= length:
                    self.after[tuple(self.tokens[-length:])] = len(self.tokens)
            self.tokens.append(token)

    def guess(self, left):
        """The guesses after the accepted tokens; `left` are the last pass's outputs for these positions."""
        count = self.rules.window - 1
        for length in self.rules.contexts:
            place = self.after.get(tuple(self.tokens[-length:]))
            if place is not None:
                return self.copy(place, count)
        # Where nothing is known the last token is repeated.
        guess = left[:count] if left else self.tokens[-1:] * min(count, 1)
        return guess + guess[-1:] * (count - len(guess))

    def copy(self, place, count):
        """The tokens from a place on; past the end of the text they go on with the copy itself, as a loop would."""
        period = len(self.tokens) - place
        return [self.tokens[place + at % period] for at in range(count)]


# ---- Decoding.


@dataclass(frozen=True)
class Trace:
    tokens: torch.Tensor  # [rows, prompt + new]
    passes: list  # of each row
    states: list  # (row, position of the last accepted token, guesses) of every pass, if they were to be kept


@torch.no_grad()
def decode(model, prompts, new, rules, keep_states=False, forced=None):
    """Greedy decoding of prompts of one length. The pass that reads a prompt up to its last token isn't counted. With `forced`
    (a list of whole texts) those come out, whatever the model says: the states are those of a decoding that arrives there."""
    count, begin = prompts.shape
    goal = begin + new
    cache = Cache(model, count, goal + rules.window)
    cache.evaluate(torch.arange(count), prompts[:, :-1], torch.zeros(count, dtype=torch.long))
    texts = [Text(rules) for _ in range(count)]
    for text, prompt in zip(texts, prompts.tolist()):
        text.accept(prompt)
    left = [[] for _ in range(count)]
    passes = [0] * count
    states = []
    while active := [row for row in range(count) if len(texts[row].tokens) < goal]:
        starts = [len(texts[row].tokens) - 1 for row in active]
        guesses = [texts[row].guess(left[row]) for row in active]
        ids = [texts[row].tokens[-1:] + guess for row, guess in zip(active, guesses)]
        logits = cache.evaluate(torch.tensor(active), torch.tensor(ids), torch.tensor(starts))
        for row, start, guess, outputs in zip(active, starts, guesses, logits.argmax(-1).tolist()):
            passes[row] += 1
            if keep_states:
                states.append((row, start, guess))
            exact = outputs if forced is None else forced[row][start + 1 :]
            right = 0
            while right < min(len(guess), len(exact) - 1) and guess[right] == exact[right]:
                right += 1
            texts[row].accept(exact[: right + 1])
            left[row] = outputs[right + 1 :] if rules.jacobi else []
    return Trace(torch.tensor([text.tokens[:goal] for text in texts]), passes, states)


def prompts_from(ids, count, seed, length=PROMPT, begin=True):
    """Windows of the text, the first token of each replaced by BEGIN, as the tokenizer would put it."""
    generator = torch.Generator().manual_seed(seed)
    prompts = demo.random_windows(ids, count, length - 1, generator)
    if begin:
        prompts[:, 0] = demo.BEGIN
    return prompts


def measure(model, held_back, count=200):
    """Held-back perplexity; passes per token of each way of decoding, over prompts from held-back text; how much greedy
    decoding repeats itself: the share of 3-grams of its tokens that are new to a sequence."""
    figures = {"perplexity": round(math.exp(demo.held_back_loss(model, held_back, 256)), 2)}
    model.eval()
    prompts = prompts_from(held_back, count, seed=7)
    greedy = decode(model, prompts, NEW, GREEDY).tokens
    for name, rules in {"jacobi": PLAIN, "jacobi, pool": POOL, "look-up": LOOKUP}.items():
        trace = decode(model, prompts, NEW, rules)
        if not torch.equal(trace.tokens, greedy):
            raise RuntimeError(f"{name} gives other tokens than greedy decoding")
        figures[name] = round(sum(trace.passes) / (count * NEW), 3)
    figures["new 3-grams"] = round(sum(map(new_3_grams, greedy[:, PROMPT:].tolist())) / count, 3)
    return figures


def new_3_grams(tokens):
    grams = list(zip(tokens, tokens[1:], tokens[2:]))
    return len(set(grams)) / len(grams)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    _, held_back = demo.read_novels()
    for folder in sys.argv[1:]:
        print(folder, json.dumps(measure(load_model(folder), held_back)), flush=True)


if __name__ == "__main__":
    main()
