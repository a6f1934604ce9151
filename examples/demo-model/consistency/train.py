"""Tunes the demo model for Jacobi decoding and writes it to a folder, after Kou et al. 2024, "CLLMs: Consistency Large
Language Models" (arXiv 2403.00835).

    pip install torch safetensors tokenizers numpy
    python3 train.py MINUTES OUT

A row of Jacobi decoding reads the guesses of the rows before it, and most of them are wrong: the model has to give the
right token all the same. So it is trained on states of its own Jacobi decoding: the guesses as they stood at some pass, with
the tokens of the demo model's greedy text as the targets. Three divergences hold the model in place: on the demo model's
texts, on texts of its own and on the novels, its distribution is to stay close to the demo model's.

Two threads. Seeds are fixed, but the number of steps, and so the result, depends on the time that the machine needs.
"""

import argparse
import json
import math
import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from decode import NEW, PLAIN, POOL, decode, demo, empty_context, extend, load_model, logits_of, measure, prompts_from

DEMO = Path(__file__).resolve().parent.parent
RATE = 6e-4  # the highest learning rate

TEXTS = 448  # greedy texts of the demo model: what decoding is to arrive at
PROMPTS = 96  # decoded a round, half by plain Jacobi and half with the pool of n-grams
OWN_PROMPTS = 48  # texts of the model's own a round
STEPS_A_ROUND = 80  # then the next round is decoded with the model as it has become
ROUNDS_KEPT = 3

SEQUENCES = 9  # decoded sequences a step
STATES = 8  # of each sequence
GUESSES = 12  # of each state: the rows further off have little say
FADING = 0.85  # weight of a row over that of the one before it, from the first wrong guess on
OWN_SEQUENCES = 4  # a step
NOVEL_WINDOWS, NOVEL_LENGTH = 4, 96  # real text a step
TEXT_WEIGHT, OWN_WEIGHT, NOVEL_WEIGHT = 2.0, 2.0, 4.0  # of the divergences; the consistency loss has 1


# ---- What is trained on.


@dataclass(frozen=True)
class Sequence:
    tokens: list
    prompt: int  # how many of them are the prompt
    states: list  # of (position of the last accepted token, guesses)


@torch.no_grad()
def greedy_texts(teacher, training):
    """Texts by the demo model [texts, prompt + new], from prompts of the training text with and without BEGIN before them."""
    texts = []
    for seed, length in enumerate((16, 32, 32, 48)):
        prompts = prompts_from(training, TEXTS // 4, 50 + seed, length)
        prompts[::2] = prompts_from(training, TEXTS // 4, 50 + seed, length, begin=False)[::2]
        texts += [(tokens, length) for tokens in decode(teacher, prompts, NEW, POOL).tokens.tolist()]
    return texts


def decode_round(model, texts, seed):
    """States of the model's decodings that arrive at the demo model's texts."""
    sequences = []
    chooser = random.Random(seed)
    for rules in (PLAIN, POOL):
        length = chooser.choice((16, 32, 32, 48))
        chosen = chooser.sample([tokens for tokens, prompt in texts if prompt == length], PROMPTS // 2)
        prompts = torch.tensor([tokens[:length] for tokens in chosen])
        trace = decode(model, prompts, NEW - 1, rules, keep_states=True, forced=chosen)
        states = [[] for _ in prompts]
        for row, position, guesses in trace.states:
            states[row].append((position, guesses[:GUESSES]))
        sequences += [Sequence(tokens, length, own) for tokens, own in zip(trace.tokens.tolist(), states)]
    return sequences


def own_texts(model, training, seed):
    """Texts that the model decodes now, as (tokens, prompt)."""
    length = random.Random(seed).choice((16, 32, 32, 48))
    prompts = prompts_from(training, OWN_PROMPTS, seed, length)
    return [(tokens, length) for tokens in decode(model, prompts, NEW, POOL).tokens.tolist()]


@dataclass(frozen=True)
class Batch:
    tokens: torch.Tensor  # [sequences, time]
    decoded: torch.Tensor  # [sequences, time]: whether the next token is a decoded one
    starts: torch.Tensor  # [sequences, states]: position of the first guess
    guesses: torch.Tensor  # [sequences, states, guesses]
    targets: torch.Tensor  # likewise: the token that follows each guess's position
    weights: torch.Tensor  # likewise


def batch_of(sequences, chooser):
    longest = max(len(sequence.tokens) for sequence in sequences) + GUESSES + 1
    tokens = torch.tensor([sequence.tokens + [0] * (longest - len(sequence.tokens)) for sequence in sequences])
    ends = torch.tensor([len(sequence.tokens) for sequence in sequences])
    prompts = torch.tensor([sequence.prompt for sequence in sequences])
    # With replacement: a sequence that was decoded fast has few states.
    states = [chooser.choices(sequence.states, k=STATES) for sequence in sequences]
    starts = torch.tensor([[position + 1 for position, _ in own] for own in states])
    guesses = torch.tensor([[guess for _, guess in own] for own in states])

    positions = starts.unsqueeze(-1) + torch.arange(GUESSES)
    row = torch.arange(len(sequences))[:, None, None]
    # Up to the first wrong guess a row is what it is in the plain text, so there is nothing to learn from it here.
    is_wrong = guesses != tokens[row, positions]
    distance = is_wrong.cummax(-1).values.cumsum(-1)
    weights = (distance > 0) * FADING ** (distance - 1) * (positions + 1 < ends[:, None, None])
    time_steps = torch.arange(longest)
    decoded = (time_steps >= prompts[:, None] - 1) & (time_steps < ends[:, None] - 1)
    kept = int(ends.max())
    return Batch(tokens[:, :kept], decoded[:, :kept], starts, guesses, tokens[row, positions + 1], weights)


# ---- The losses.


def evaluate(model, tokens):
    """Activations and context of whole sequences."""
    starts = torch.zeros(len(tokens), 1, dtype=torch.long)
    return extend(model, empty_context(model, len(tokens)), tokens.unsqueeze(1), starts)


def consistency(model, context, batch):
    """Cross-entropy of the rows after a wrong guess with the tokens that came out in the end."""
    x, _ = extend(model, context, batch.guesses, batch.starts)
    weights = batch.weights.flatten()
    rows = weights > 0
    losses = F.cross_entropy(logits_of(model, x.flatten(0, 1)[rows]), batch.targets.flatten()[rows], reduction="none")
    return (losses * weights[rows]).sum() / weights.sum()


def log_likelihoods(model, x):
    return logits_of(model, x).log_softmax(-1)


def forward_divergence(model, teacher, x, teacher_x):
    """Mean KL of the teacher's distribution to the model's, in nats: nothing that the teacher would say may be lost."""
    with torch.no_grad():
        expected = log_likelihoods(teacher, teacher_x)
    return F.kl_div(log_likelihoods(model, x), expected, reduction="sum", log_target=True) / len(x)


def reverse_divergence(model, teacher, x, teacher_x):
    """Mean KL of the model's distribution to the teacher's: nothing may be said that the teacher would not say."""
    with torch.no_grad():
        expected = log_likelihoods(teacher, teacher_x)
    return F.kl_div(expected, log_likelihoods(model, x), reduction="sum", log_target=True) / len(x)


def losses_of(model, teacher, batch, own, windows):
    """Consistency; divergence on the demo model's texts, on the model's own, on the novels."""
    x, context = evaluate(model, batch.tokens)
    tokens, decoded = own
    own_x, _ = evaluate(model, tokens)
    novels, _ = evaluate(model, windows)
    with torch.no_grad():
        teacher_x, _ = evaluate(teacher, batch.tokens)
        teacher_own, _ = evaluate(teacher, tokens)
        teacher_novels, _ = evaluate(teacher, windows)
    return torch.stack(
        [
            consistency(model, context, batch),
            forward_divergence(model, teacher, x[batch.decoded], teacher_x[batch.decoded]),
            reverse_divergence(model, teacher, own_x[decoded], teacher_own[decoded]),
            forward_divergence(model, teacher, novels.flatten(0, 1), teacher_novels.flatten(0, 1)),
        ]
    )


def own_batch(texts, chooser):
    """Texts of one length [own, time], and which of their rows say a decoded token."""
    length = chooser.choice(texts)[1]
    chosen = chooser.sample([tokens for tokens, prompt in texts if prompt == length], OWN_SEQUENCES)
    tokens = torch.tensor(chosen)
    return tokens, (torch.arange(tokens.shape[1]) >= length - 1).expand_as(tokens)


# ---- The training.


def learning_rate(step, done):
    """Fifty steps of warm-up, then half a cosine down to 2 %; `done` is the part of the training behind us."""
    return RATE * min(1.0, (step + 1) / 50) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def train(model, teacher, training, minutes, output):
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.01)
    weights = torch.tensor([1.0, TEXT_WEIGHT, OWN_WEIGHT, NOVEL_WEIGHT])
    texts = greedy_texts(teacher, training)
    print(f"{len(texts)} texts", flush=True)
    generator = torch.Generator().manual_seed(1)
    chooser = random.Random(0)
    begin = saved = time.time()
    rounds, own, step = [], [], 0
    while (done := (time.time() - begin) / (60 * minutes)) < 1:
        if step % STEPS_A_ROUND == 0:
            rounds = [*rounds, decode_round(model, texts, seed=1000 + step)][-ROUNDS_KEPT:]
            own = [*own, *own_texts(model, training, seed=2000 + step)][-ROUNDS_KEPT * OWN_PROMPTS :]
            sums = torch.zeros(4)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, done)
        sequences = chooser.sample([sequence for one in rounds for sequence in one], SEQUENCES)
        windows = demo.random_windows(training, NOVEL_WINDOWS, NOVEL_LENGTH - 1, generator)
        losses = losses_of(model, teacher, batch_of(sequences, chooser), own_batch(own, chooser), windows)
        optimizer.zero_grad()
        (losses * weights).sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        sums += losses.detach()
        if step % STEPS_A_ROUND == 0:
            report(step, time.time() - begin, sums / STEPS_A_ROUND, rounds[-1])
        if time.time() - saved > 300:
            save(model, output)
            saved = time.time()
    print(f"{step} steps")


def report(step, seconds, losses, sequences):
    """Losses since the last report, and passes per token of the round they were trained on first."""
    means = "  ".join(f"{name} {loss:.3f}" for name, loss in zip(("consistency", "texts", "own", "novels"), losses.tolist()))
    plain, pool = (
        2 * sum(len(sequence.states) for sequence in half) / (PROMPTS * (NEW - 1))
        for half in (sequences[: PROMPTS // 2], sequences[PROMPTS // 2 :])
    )
    print(f"step {step}  {seconds:.0f} s  {means}  passes per token {plain:.3f}, with the pool {pool:.3f}", flush=True)


def save(model, folder):
    folder.mkdir(parents=True, exist_ok=True)
    save_file(demo.checkpoint(model), folder / "model.safetensors", metadata={"format": "pt"})
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(DEMO / name, folder / name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", type=float, help="how long to train")
    parser.add_argument("output", type=Path, help="folder of the new checkpoint, written every five minutes")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(2)
    model, teacher = load_model(DEMO), load_model(DEMO).eval()
    training, held_back = demo.read_novels()
    train(model, teacher, training, options.minutes, options.output)
    save(model, options.output)
    print(json.dumps(measure(load_model(options.output), held_back), indent=2))


if __name__ == "__main__":
    main()
