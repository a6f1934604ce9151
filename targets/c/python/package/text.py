"""From tokens to text, as it comes: whole characters only, and nothing of what may become a string that ends it."""

import re
from typing import Callable, Sequence, Tuple

#: What a token stands for: bytes of UTF-8 that may begin or end inside a character.
TokenBytes = Callable[[int], bytes]

#: The beginning of a character at the end of bytes. Python's own incremental decoder keeps halves of surrogates back too, which are none.
_UNFINISHED = re.compile(
    rb"(?:[\xc2-\xdf]|\xe0[\xa0-\xbf]?|[\xe1-\xec\xee\xef][\x80-\xbf]?|\xed[\x80-\x9f]?"
    rb"|\xf0(?:[\x90-\xbf][\x80-\xbf]?)?|[\xf1-\xf3][\x80-\xbf]{0,2}|\xf4(?:[\x80-\x8f][\x80-\xbf]?)?)\Z"
)


class TextStream:
    """The text does not depend on how tokens cut it up: all that was pushed, then flushed, is what the bytes decode to at once."""

    def __init__(self, bytes_of: TokenBytes) -> None:
        self._bytes_of = bytes_of
        self._held = b""

    def push(self, token: int) -> str:
        """The characters that the token completes; an incomplete one is kept back."""
        known = self._held + self._bytes_of(token)
        unfinished = _UNFINISHED.search(known)
        end = len(known) if unfinished is None else unfinished.start()
        self._held = known[end:]
        return known[:end].decode("utf-8", "replace")

    def flush(self) -> str:
        """What was kept back, as U+FFFD: the text ends inside a character."""
        text, self._held = self._held.decode("utf-8", "replace"), b""
        return text


class StopStrings:
    """
    Finds the first of several strings in a text that comes in pieces: the one that is complete first, of those that end together the
    longest. So the pieces' borders do not matter.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop != ""]
        self._held = ""

    def push(self, piece: str) -> Tuple[str, bool]:
        """The text that is safe to show after the piece, and whether a stop string, which it ends before, has been met."""
        text = self._held + piece
        found = [(text.index(stop) + len(stop), text.index(stop)) for stop in self._stops if stop in text]
        cut = min(found)[1] if found else len(text) - self._possible_start(text)
        self._held = text[cut:]
        return text[:cut], bool(found)

    def flush(self) -> str:
        """What was held back and turned out to be no stop string."""
        text, self._held = self._held, ""
        return text

    def _possible_start(self, text: str) -> int:
        """Length of the longest end of the text with which a stop string begins."""
        lengths = (length for stop in self._stops for length in range(1, len(stop)) if text.endswith(stop[:length]))
        return max(lengths, default=0)
