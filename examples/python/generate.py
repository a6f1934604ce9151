"""
Generates text with a compiled model through ctypes: no packages, no build step of Python's own. The artefact's library must be built:

    npx lfmc compile examples/demo-model --target c --name demo -o build/demo-c
    make -C build/demo-c
    python3 examples/python/generate.py build/demo-c [id ...]
"""

import ctypes
import json
import re
import sys
from pathlib import Path

THREADS = 2
MOST_TOKENS = 60
# <|startoftext|>It is a truth universally acknowledged, that
DEFAULT_PROMPT = [1, 1432, 372, 266, 1924, 480, 80, 1186, 562, 2769, 19, 342]


class Row(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in ("token", "slot", "position", "wants_logits")]


class Model:
    """One model and its first session slot. The arena is a buffer of ours: it lives as long as this object."""

    def __init__(self, folder, threads):
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        self.vocabulary = manifest["model"]["vocabSize"]
        self.ends = set(manifest["tokens"]["eos"])
        self.symbol = re.sub("[^a-z0-9]", "_", manifest["name"].lower())
        self.library = ctypes.CDLL(str(find_library(folder, manifest["name"])))
        self.arena = ctypes.create_string_buffer(self.function("arena_bytes", ctypes.c_size_t, ctypes.c_int32)(threads))
        self.model = ctypes.c_void_p()
        create = self.function(
            "create",
            ctypes.c_int,
            ctypes.POINTER(ctypes.c_void_p),
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_char_p,
            ctypes.c_int32,
            ctypes.c_char_p,
        )
        weights = str(folder / "weights.bin").encode()
        self.check(create(ctypes.byref(self.model), self.arena, len(self.arena), weights, threads, None))
        self.forward = self.function("forward", ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Row), ctypes.c_int32)
        self.logits = self.function("logits", ctypes.POINTER(ctypes.c_float), ctypes.c_void_p, ctypes.c_int32)
        self.length = self.function("length", ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32)
        self.room = self.function("room", ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32)

    def function(self, name, result, *arguments):
        found = getattr(self.library, f"lfm_{self.symbol}_{name}")
        found.restype = result
        found.argtypes = arguments
        return found

    def check(self, status):
        if status != 0:
            sys.exit("error: " + self.function("status_text", ctypes.c_char_p, ctypes.c_int)(status).decode())

    def evaluate(self, tokens):
        """Appends tokens, many in one call; returns the logits after the last one, valid until the next call."""
        while tokens:
            position = self.length(self.model, 0)
            part = tokens[: self.room(self.model, 0)]
            if not part:
                sys.exit("error: the context is full")
            tokens = tokens[len(part) :]
            last = len(part) - 1
            rows = [Row(token, 0, position + i, not tokens and i == last) for i, token in enumerate(part)]
            self.check(self.forward(self.model, (Row * len(part))(*rows), len(part)))
        return self.logits(self.model, 0)[: self.vocabulary]

    def close(self):
        self.function("destroy", None, ctypes.c_void_p)(self.model)


def find_library(folder, name):
    for suffix in ("so", "dylib", "dll"):
        path = folder / "build" / f"lib{name}.{suffix}"
        if path.exists():
            return path.resolve()
    sys.exit(f"error: the library is not built: make -C {folder}")


def read_vocabulary(folder):
    """The bytes of each token. In tokenizer.json a character stands for each: a visible one of Latin-1 for itself, the others from 256 on."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    special = {token["id"] for token in tokenizer["added_tokens"] if token["special"]}
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    byte_of = {chr(byte): byte for byte in visible} | {chr(256 + i): byte for i, byte in enumerate(hidden)}
    texts = {token: text for text, token in tokenizer["model"]["vocab"].items() if token not in special}
    return {token: bytes(byte_of[character] for character in text) for token, text in texts.items()}


def generate(model, prompt):
    """Yields the likeliest token each time, until the model's end token."""
    logits = model.evaluate(prompt)
    for _ in range(MOST_TOKENS):
        token = logits.index(max(logits))
        if token in model.ends:
            return
        yield token
        if model.room(model.model, 0) == 0:
            return
        logits = model.evaluate([token])


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    prompt = [int(text) for text in sys.argv[2:]] or DEFAULT_PROMPT
    vocabulary = read_vocabulary(folder)
    model = Model(folder, THREADS)

    def show(token):
        sys.stdout.buffer.write(vocabulary.get(token, b""))
        sys.stdout.buffer.flush()

    for token in prompt:
        show(token)
    for token in generate(model, prompt):
        show(token)
    print()
    model.close()


if __name__ == "__main__":
    main()
