"""A session: one sequence of tokens and the model's state after them, in one slot of the model."""

from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generator, Iterator, List, NoReturn, Optional, Sequence, Type, Union

from . import facts
from .errors import LfmError
from .generation import Completion, Generation, Part, Plan
from .timeline import Timeline, step

if TYPE_CHECKING:
    from .model import Model

#: A text, which gets the token that begins texts at position 0, or token ids, which are taken as they are.
Prompt = Union[str, Sequence[int]]


class Session:
    """Made by `model.create_session()`. Used by one caller at a time; several sessions of a model may take turns."""

    def __init__(self, model: "Model", timeline: Timeline) -> None:
        self._model = model
        self._timeline = timeline
        self._is_busy = False
        self._is_released = False
        #: How the last generation that ran to its end did.
        self.result: Optional[Completion] = None

    @property
    def tokens(self) -> List[int]:
        """Tokens of the session: prompts and what was generated, in order."""
        return list(self._timeline.tokens)

    @property
    def position(self) -> int:
        """How many tokens the session has; the next one gets this position."""
        return len(self._timeline.tokens)

    def generate(
        self,
        prompt: Prompt,
        *,
        max_tokens: Optional[int] = None,
        temperature: Optional[float] = None,
        top_k: Optional[int] = None,
        top_p: Optional[float] = None,
        min_p: Optional[float] = None,
        repetition_penalty: Optional[float] = None,
        seed: Optional[int] = None,
        stop: Union[str, Sequence[str], None] = None,
        ignore_eos: bool = False,
        end_tokens: Sequence[int] = (),
    ) -> Generator[Part, None, Completion]:
        """
        Continues the session with a prompt and yields tokens as they come, then returns the completion, which `result` has too. What is
        left out falls back to the model's own defaults: `max_tokens` to what the context holds, `seed` to a random one. `temperature` 0
        takes the likeliest token; `top_k` 0, `top_p` 1, `min_p` 0, `repetition_penalty` 1 are off. `stop`: strings that end the text,
        themselves not shown. `end_tokens` end it beside the model's own, which `ignore_eos` ignores. The session stays usable whatever ends this.
        """
        plan = Plan(max_tokens, temperature, top_k, top_p, min_p, repetition_penalty, seed, stop, ignore_eos, end_tokens)
        return self._run(prompt, plan)

    def complete(
        self,
        prompt: Prompt,
        *,
        max_tokens: Optional[int] = None,
        temperature: Optional[float] = None,
        top_k: Optional[int] = None,
        top_p: Optional[float] = None,
        min_p: Optional[float] = None,
        repetition_penalty: Optional[float] = None,
        seed: Optional[int] = None,
        stop: Union[str, Sequence[str], None] = None,
        ignore_eos: bool = False,
        end_tokens: Sequence[int] = (),
    ) -> Completion:
        """`generate` to its end, in one answer."""
        plan = Plan(max_tokens, temperature, top_k, top_p, min_p, repetition_penalty, seed, stop, ignore_eos, end_tokens)
        parts = self._run(prompt, plan)
        while True:
            try:
                next(parts)
            except StopIteration as end:
                completion: Completion = end.value
                return completion

    def forward(self, tokens: Sequence[int]) -> "memoryview[float]":
        """Appends token ids and evaluates all that is pending; the logits after the last one: [vocab_size] float32, a copy."""
        with self._use():
            self._timeline.append(tokens)
            if not self._timeline.tokens:
                raise LfmError("run/input", "tokens: are empty: begin with at least one")
            self._timeline.reconsider_last()
            return self._evaluate(1).cast("f")

    def logits(self, tokens: Sequence[int]) -> "memoryview[float]":
        """Appends token ids and evaluates all that is pending; the logits after each of them: [tokens, vocab_size] float32, a copy."""
        with self._use():
            if len(tokens) == 0:
                raise LfmError("run/input", "tokens: are empty: begin with at least one")
            self._timeline.append(tokens)
            return self._evaluate(len(tokens)).cast("f", [len(tokens), facts.VOCAB_SIZE])

    def rewind(self, position: int) -> None:
        """Drops the tokens from `position` on, exactly; 0 empties the session."""
        with self._use():
            self._timeline.rewind(position)

    def save(self) -> bytes:
        """The session for `model.restore`, here or wherever the same model runs, whatever its target. Evaluates what is pending."""
        with self._use():
            self._evaluate(0)
            return self._timeline.save()

    def load(self, saved: Any) -> None:
        """Replaces this session by a saved one; raises `artefact/invalid` or `artefact/mismatch`, and then leaves it as it was."""
        with self._use():
            self._timeline.load(saved)

    def release(self) -> None:
        """Gives the slot back; the session is of no use afterwards. Once more is let pass."""
        if not self._is_released:
            self._assert_idle()
            self._give_back()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, _type: Optional[Type[BaseException]], _error: Optional[BaseException], _trace: Optional[TracebackType]) -> None:
        """Releases the session, even from a generator that was left before its end."""
        self._give_back()

    def __del__(self) -> None:
        self._give_back()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a session is not copied: save() gives bytes, of which model.restore() makes another")

    def _give_back(self) -> None:
        with self._model.engine.lock:
            if not self._is_released:
                self._is_released = True
                self._model.give_back([self._timeline.slot])

    def _run(self, prompt: Prompt, plan: Plan) -> Generator[Part, None, Completion]:
        with self._use():
            given = self._model.encode(prompt, add_bos=None if self.position == 0 else False) if isinstance(prompt, str) else prompt
            generation = Generation(self._timeline, given, plan, self._model.tokenizer)
            while generation.stop_reason is None:
                part: Optional[Part] = None
                with self._model.engine.lock:
                    self._assert_held()
                    for answer in step([self._timeline]):
                        part = generation.take(answer.first)
                if part is not None:
                    yield part
            self.result = generation.completion()
            return self.result

    def _evaluate(self, wanted: int) -> memoryview:
        """Evaluates all that is pending; the logits after each of the last `wanted` tokens, as bytes."""
        row = facts.VOCAB_SIZE * 4
        logits = memoryview(bytearray(wanted * row))
        done = 0
        while self._timeline.pending > 0:
            with self._model.engine.lock:
                self._assert_held()
                for answer in step([self._timeline], wanted):
                    for i in range(answer.amount):
                        self._model.engine.logits(answer.first + i, logits[done * row : (done + 1) * row])
                        done += 1
        return logits

    @contextmanager
    def _use(self) -> Iterator[None]:
        with self._model.engine.lock:
            self._model.engine.assert_alive()
            self._assert_idle()
            self._is_busy = True
        try:
            yield
        finally:
            self._is_busy = False

    def _assert_held(self) -> None:
        if self._is_released:
            raise LfmError("run/disposed", "the session has been released: create another")

    def _assert_idle(self) -> None:
        self._assert_held()
        if self._is_busy:
            raise LfmError("run/busy", "the session is in use: finish the running generator, or close() it")
