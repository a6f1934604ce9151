"""
A session's past: its tokens, of which the slot has evaluated the first ones. Tokens are appended at once and evaluated when somebody needs
them, in calls that timelines may share: who shares a call changes no bit.
"""

import struct
from array import array
from operator import index
from typing import Any, Iterable, List, NamedTuple, Sequence

from . import facts
from .engine import Engine
from .errors import LfmError


class Timeline:
    """The tokens of one slot, which is emptied first."""

    def __init__(self, engine: Engine, slot: int) -> None:
        self.engine = engine
        self.slot = slot
        self.tokens: List[int] = []
        engine.reset(slot)

    @property
    def pending(self) -> int:
        """Tokens that the slot has not evaluated."""
        return len(self.tokens) - self.engine.length(self.slot)

    def append(self, tokens: Iterable[int]) -> None:
        """Appends tokens without evaluating them; raises `run/input` or `run/context`, and then appends none."""
        given = [index(token) for token in tokens]
        for place, token in enumerate(given):
            if not 0 <= token < facts.VOCAB_SIZE:
                raise LfmError("run/input", f"tokens[{place}]: {token} is not a token id from 0 to {facts.VOCAB_SIZE - 1}")
        if len(self.tokens) + len(given) > facts.CONTEXT:
            fact = f"{len(self.tokens)} + {len(given)} tokens do not fit the context of {facts.CONTEXT}"
            raise LfmError("run/context", f"{fact}: shorten the prompt, or compile with a larger --context")
        self.tokens += given

    def rewind(self, length: int) -> None:
        """Drops the tokens from `length` on, exactly."""
        if not 0 <= index(length) <= len(self.tokens):
            raise LfmError("run/input", f"{length} is not a position from 0 to {len(self.tokens)}")
        if length < self.engine.length(self.slot):
            self.engine.rewind(self.slot, length)
        del self.tokens[length:]

    def reconsider_last(self) -> None:
        """Makes the last token pending again, so that its logits can be asked for."""
        if self.tokens and self.pending == 0:
            self.engine.rewind(self.slot, len(self.tokens) - 1)

    def save(self) -> bytes:
        """The slot as bytes; nothing may be pending."""
        return self.engine.save(self.slot)

    def load(self, saved: Any) -> None:
        """Replaces everything by what was saved, on any target; where that is refused, nothing changes."""
        view = memoryview(saved).cast("B")
        with self.engine.lock:
            self.engine.restore(self.slot, view)
            (count,) = struct.unpack_from("<I", view, _COUNT_AT)
            self.tokens = list(struct.unpack_from(f"<{count}I", view, _TOKENS_AT))


#: Of a saved session: where it says how many tokens it has, and where they begin.
_COUNT_AT, _TOKENS_AT = 40, 56


class Answer(NamedTuple):
    """What a call computed for one timeline: the `amount` logits from the `first` on."""

    timeline: Timeline
    first: int
    amount: int


def step(timelines: Sequence[Timeline], wanted: int = 1) -> List[Answer]:
    """
    One forward call over pending tokens of timelines of one engine, whose lock the caller holds: the small requests first, so that long prompts
    fill what decoding leaves of the room. The last `wanted` tokens of each want logits; those that had some are told, in their order.
    """
    rows = array("i")
    answers: List[Answer] = []
    room, logits = facts.CHUNK, facts.LOGIT_ROWS
    for timeline in sorted(timelines, key=lambda each: each.pending):
        start = timeline.engine.length(timeline.slot)
        first_wanted = len(timeline.tokens) - wanted
        end = min(
            len(timeline.tokens),
            start + min(room, timeline.engine.room(timeline.slot)),
            max(start, first_wanted) + logits,
        )
        for position in range(start, end):
            rows.extend((timeline.tokens[position], timeline.slot, position, position >= first_wanted))
        wants = max(0, end - max(start, first_wanted))
        if wants > 0:
            answers.append(Answer(timeline, facts.LOGIT_ROWS - logits, wants))
        room, logits = room - (end - start), logits - wants
    if rows:
        timelines[0].engine.forward(rows)
    return answers
