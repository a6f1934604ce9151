"""One run of generate: what may be asked for, and tokens until something ends it."""

from operator import index
from secrets import randbits
from typing import Any, List, NamedTuple, Optional, Sequence, Union

from . import facts
from .errors import LfmError
from .library import Sampling
from .text import StopStrings
from .timeline import Timeline
from .tokenizer import Tokenizer


class Part(NamedTuple):
    """One token and the text that became certain with it, often empty where a character or stop string is unfinished."""

    token: int
    text: str


class Completion(NamedTuple):
    """A generation that ran to its end."""

    #: The generated text, without the prompt; empty where the model has no tokenizer.
    text: str
    #: Its token ids, an end token included.
    tokens: List[int]
    #: Tokens evaluated before the first one: the prompt, and what the session had not yet evaluated.
    prompt_tokens: int
    #: `eos`: the model's end token; `length`: max_tokens; `stop`: a stop string; `context`: a full context.
    stop_reason: str
    #: What repeats this generation.
    seed: int


class Plan:
    """Options with every default filled in, all of them checked."""

    def __init__(
        self,
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
    ) -> None:
        self.max_tokens = _whole("max_tokens", facts.CONTEXT if max_tokens is None else max_tokens)
        self.seed = randbits(32) if seed is None else _whole("seed", seed, 2**53 - 1)
        self.stop: List[str] = [] if stop is None else [stop] if isinstance(stop, str) else list(stop)
        self.end_tokens = frozenset() if ignore_eos else frozenset((*facts.END_TOKENS, *end_tokens))
        self.sampling = Sampling(
            temperature=_real("temperature", temperature, facts.TEMPERATURE),
            top_p=_real("top_p", top_p, facts.TOP_P, 1),
            min_p=_real("min_p", min_p, facts.MIN_P, 1),
            repetition_penalty=_real("repetition_penalty", repetition_penalty, facts.REPETITION_PENALTY),
            seed=self.seed,
            # No more than there are tokens, so that any number fits.
            top_k=min(_whole("top_k", facts.TOP_K if top_k is None else top_k), facts.VOCAB_SIZE),
        )
        if self.sampling.repetition_penalty == 0:
            raise LfmError("run/input", "repetition_penalty: 0 is not a number above 0")


class Generation:
    """Tokens for one timeline; `take` is to follow each forward call that computed its last logits, until there is a stop reason."""

    def __init__(self, timeline: Timeline, prompt: Sequence[int], plan: Plan, tokenizer: Optional[Tokenizer]) -> None:
        if plan.stop and tokenizer is None:
            raise LfmError("run/input", "stop: needs a tokenizer, and the model came without one")
        timeline.append(prompt)
        if not timeline.tokens:
            raise LfmError("run/input", "prompt: is empty: begin with at least one token")
        if plan.max_tokens > 0:
            timeline.reconsider_last()
        self.timeline = timeline
        self.stop_reason: Optional[str] = None
        self._plan = plan
        self._prompt_tokens = timeline.pending
        self._tokens: List[int] = []
        self._text = ""
        self._stream = None if tokenizer is None else tokenizer.stream()
        self._stops = StopStrings(plan.stop)
        if plan.max_tokens == 0:
            self.stop_reason = "length"
        elif len(timeline.tokens) >= facts.CONTEXT:
            self.stop_reason = "context"

    def take(self, logits: int) -> Part:
        """Picks the next token by these logits of the last call."""
        token = self.timeline.engine.sample(self.timeline.slot, logits, self._plan.sampling)
        self.timeline.append([token])
        self._tokens.append(token)
        text, is_stopped = self._stops.push("" if self._stream is None else self._stream.push(token))
        self.stop_reason = "stop" if is_stopped else self._reason(token)
        if self.stop_reason is not None and not is_stopped:
            text += self._tail()
        self._text += text
        return Part(token, text)

    def completion(self) -> Completion:
        """All of it, once there is a stop reason."""
        reason = self.stop_reason
        assert reason is not None
        return Completion(self._text, self._tokens, self._prompt_tokens, reason, self._plan.seed)

    def _tail(self) -> str:
        """What was held back and is text after all."""
        text, is_stopped = self._stops.push("" if self._stream is None else self._stream.flush())
        return text if is_stopped else text + self._stops.flush()

    def _reason(self, token: int) -> Optional[str]:
        if token in self._plan.end_tokens:
            return "eos"
        if len(self._tokens) >= self._plan.max_tokens:
            return "length"
        return "context" if len(self.timeline.tokens) >= facts.CONTEXT else None


def _whole(name: str, value: Any, most: Optional[int] = None) -> int:
    number = index(value)
    if number < 0 or (most is not None and number > most):
        bounds = "of at least 0" if most is None else f"from 0 to {most}"
        raise LfmError("run/input", f"{name}: {number} is not a whole number {bounds}")
    return number


def _real(name: str, value: Optional[float], default: float, most: Optional[float] = None) -> float:
    number = float(default if value is None else value)
    if not 0 <= number < float("inf") or (most is not None and number > most):
        bounds = "of at least 0" if most is None else f"from 0 to {most}"
        raise LfmError("run/input", f"{name}: {number} is not a number {bounds}")
    return number
