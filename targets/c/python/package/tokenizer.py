"""
Text to tokens by the package `tokenizers`, which only `encode` needs; tokens to text by the byte-level alphabet itself, as the
JavaScript runtime does it.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

from . import facts
from .errors import LfmError
from .library import find_file
from .text import TextStream


class Tokenizer:
    """The model's tokenizer."""

    def __init__(self, path: Path, config: Optional[Path]) -> None:
        self._path = path
        self._config = config
        self._known: Dict[int, bytes] = {}

    def encode(self, text: str, *, add_bos: Optional[bool] = None) -> List[int]:
        """
        Token ids of a text; special tokens written out in it become their ids. The token that begins texts comes in front by default as
        the tokenizer's files say, and never twice.
        """
        ids: List[int] = self._hub.encode(text, add_special_tokens=False).ids
        wanted = self._adds_bos if add_bos is None else add_bos
        return [facts.BOS, *ids] if wanted and facts.BOS is not None and ids[:1] != [facts.BOS] else ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens left out; bytes that are no UTF-8 become U+FFFD."""
        stream = self.stream()
        return "".join(map(stream.push, ids)) + stream.flush()

    def stream(self) -> TextStream:
        """A decoder to push ids into, one by one."""
        return TextStream(self.bytes_of)

    def bytes_of(self, token: int) -> bytes:
        """The bytes that a token stands for; none for special and unknown ones."""
        known = self._known.get(token)
        if known is None:
            known = self._known[token] = self._compute(token)
        return known

    def _compute(self, token: int) -> bytes:
        added = self._added.get(token)
        if added is not None:
            return b"" if added["special"] else _utf8(added["content"])
        letters = self._contents.get(token, "")
        return b"".join(_bytes_by_letter.get(letter) or _utf8(letter) for letter in letters)

    @cached_property
    def _json(self) -> Dict[str, Any]:
        return _read_json(self._path)

    @cached_property
    def _added(self) -> Dict[int, Dict[str, Any]]:
        return {token["id"]: token for token in self._json.get("added_tokens") or []}

    @cached_property
    def _contents(self) -> Dict[int, str]:
        return {token: content for content, token in self._json["model"]["vocab"].items()}

    @cached_property
    def _adds_bos(self) -> bool:
        said = None if self._config is None else _read_json(self._config).get("add_bos_token")
        if isinstance(said, bool):
            return said
        return facts.BOS is not None and self._hub.encode("a", add_special_tokens=True).ids[:1] == [facts.BOS]

    @cached_property
    def _hub(self) -> Any:
        try:
            from tokenizers import Tokenizer as Hub
        except ImportError as error:
            raise LfmError("io/missing", "text needs the package tokenizers: pip install tokenizers, or give token ids") from error
        hub = Hub.from_file(str(self._path))
        hub.no_truncation()
        hub.no_padding()
        return hub


def open_tokenizer() -> Optional[Tokenizer]:
    """The artefact's tokenizer, None where it has none."""
    if facts.TOKENIZER is None:
        return None
    path = find_file(facts.TOKENIZER)
    if path is None:
        raise LfmError("io/missing", f"{facts.TOKENIZER} is missing: the artefact's folder must be kept whole")
    return Tokenizer(path, None if facts.TOKENIZER_CONFIG is None else find_file(facts.TOKENIZER_CONFIG))


def _read_json(path: Union[str, Path]) -> Dict[str, Any]:
    try:
        value: Dict[str, Any] = json.loads(Path(path).read_text("utf-8"))
        return value
    except (OSError, ValueError) as error:
        raise LfmError("artefact/invalid", f"{path}: is no JSON: {error}") from error


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _letters() -> Dict[str, bytes]:
    """GPT-2's alphabet: printable Latin-1 bytes stand for themselves, the other 68 for U+0100 and on, in rising order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): bytes([byte]) for byte in printable}
    table.update({chr(256 + i): bytes([byte]) for i, byte in enumerate(others)})
    return table


_bytes_by_letter = _letters()
