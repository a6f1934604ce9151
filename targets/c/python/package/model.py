"""A loaded model: its library, its weights, its tokenizer and its session slots."""

import os
from functools import cached_property
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import Any, Iterable, Iterator, List, NoReturn, Optional, Sequence, Tuple, Type, Union

from . import facts
from .batch import Job, run_batch
from .engine import Engine, Weights
from .errors import LfmError
from .generation import Completion, Plan
from .session import Prompt, Session
from .timeline import Timeline, step
from .tokenizer import Tokenizer, open_tokenizer


def load(
    threads: int = 1,
    variant: Optional[str] = None,
    weights: Optional[Weights] = None,
    library: Union[str, "os.PathLike[str]", None] = None,
) -> "Model":
    """
    Loads the model. `threads`: 1 to 64, which share the work of each call. `variant`: the code to run, by default the best that the processor
    has. `weights`: the path of weights.bin, or its bytes in memory, at a multiple of 64, which are kept and not copied; by default the
    package's own. `library`: one that was built elsewhere.
    """
    return Model(threads, variant, weights, None if library is None else Path(library))


class Model:
    """
    The loaded model; `load` makes it. Any thread may call it: calls wait for one another. A child made by fork() must load its own; `close`, or
    `with`, gives its memory back.
    """

    def __init__(self, threads: int, variant: Optional[str], weights: Optional[Weights], library: Optional[Path]) -> None:
        #: Threads that share the work.
        self.threads = threads
        #: The library by single calls: not for who has sessions.
        self.engine = Engine(library, weights, threads, variant)
        self._free = list(range(facts.SESSIONS))

    @property
    def variant(self) -> str:
        """The code that runs: `scalar`, `avx2`, …"""
        return self.engine.variant

    @property
    def context(self) -> int:
        """Positions that a session holds."""
        return facts.CONTEXT

    @property
    def sessions(self) -> int:
        """Session slots, free or not."""
        return facts.SESSIONS

    @property
    def vocab_size(self) -> int:
        """Token ids are below it."""
        return facts.VOCAB_SIZE

    @cached_property
    def tokenizer(self) -> Optional[Tokenizer]:
        """The model's own; None where it came without."""
        return open_tokenizer()

    def encode(self, text: str, *, add_bos: Optional[bool] = None) -> List[int]:
        """Token ids of a text, by default as it begins a session; needs the package `tokenizers`."""
        return self._text().encode(text, add_bos=add_bos)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens left out."""
        return self._text().decode(ids)

    def create_session(self) -> Session:
        """A session in a free slot; raises `run/sessions` where all are taken."""
        return Session(self, Timeline(self.engine, self.claim(1)[0]))

    def restore(self, saved: Any) -> Session:
        """A new session with a saved one's past: the bytes of `save`, of any target of the same model."""
        session = self.create_session()
        try:
            session.load(saved)
        except BaseException:
            session.release()
            raise
        return session

    def forward(self, tokens: Sequence[int]) -> "memoryview[float]":
        """Logits after each token of a new session: [tokens, vocab_size] float32."""
        with self.create_session() as session:
            return session.logits(tokens)

    def complete_batch(
        self,
        prompts: Iterable[Prompt],
        *,
        seeds: Optional[Iterable[Optional[int]]] = None,
        max_tokens: Union[int, Iterable[Optional[int]], None] = None,
        temperature: Optional[float] = None,
        top_k: Optional[int] = None,
        top_p: Optional[float] = None,
        min_p: Optional[float] = None,
        repetition_penalty: Optional[float] = None,
        seed: Optional[int] = None,
        stop: Union[str, Sequence[str], None] = None,
        ignore_eos: bool = False,
        end_tokens: Sequence[int] = (),
    ) -> Iterator[Tuple[int, Completion]]:
        """
        Completes prompts, each in a session of its own, as many at once as there are free slots: they share forward calls. Yields a prompt's
        place and its completion as they end, which is the same whatever shares the calls. Options are `Session.generate`'s; `seeds`
        has one for each prompt, and `max_tokens` may. Prompts are taken as slots become free. What is wrong with one of them ends the batch.
        """

        def jobs() -> Iterator[Job]:
            each_seed = repeat(seed) if seeds is None else iter(seeds)
            most = iter(max_tokens) if isinstance(max_tokens, Iterable) else repeat(max_tokens)
            for place, prompt in enumerate(prompts):
                try:
                    wishes = next(most), temperature, top_k, top_p, min_p, repetition_penalty, next(each_seed), stop, ignore_eos, end_tokens
                except StopIteration:
                    raise LfmError("run/input", f"prompts[{place}]: has no seed or max_tokens: give one for each prompt") from None
                yield place, self.encode(prompt) if isinstance(prompt, str) else prompt, Plan(*wishes)

        if isinstance(prompts, str):
            raise LfmError("run/input", "prompts: is one text: give a list of them")
        return run_batch(self, jobs())

    def close(self) -> None:
        """Ends the model and gives its memory back."""
        self.engine.close()

    def claim(self, most: int) -> List[int]:
        """Takes free slots, one at least and `most` at most: what has them calls `give_back`."""
        with self.engine.lock:
            self.engine.assert_alive()
            if not self._free:
                hint = "release a session, or compile with a larger --sessions"
                raise LfmError("run/sessions", f"all {facts.SESSIONS} session slots are taken: {hint}")
            taken, self._free = self._free[:most], self._free[most:]
            return taken

    def give_back(self, slots: Sequence[int]) -> None:
        """Slots are free again."""
        with self.engine.lock:
            self._free.extend(slots)

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, _type: Optional[Type[BaseException]], _error: Optional[BaseException], _trace: Optional[TracebackType]) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a model is not copied: load it again")

    def _text(self) -> Tokenizer:
        if self.tokenizer is None:
            raise LfmError("run/input", f"{facts.NAME} has no tokenizer: give token ids")
        return self.tokenizer
