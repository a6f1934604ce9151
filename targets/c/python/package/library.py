"""The built C library by ctypes, and the one file that knows its functions' types: everything that it refuses becomes an LfmError."""

import ctypes
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from . import facts
from .errors import LfmError

#: The artefact's files lie beside this one when they were installed, and two folders above where it was compiled.
PACKAGE = Path(__file__).resolve().parent
ARTEFACT = PACKAGE.parent.parent


class Sampling(ctypes.Structure):
    """lfm_sampling: how a token is chosen."""

    _fields_ = [
        ("temperature", ctypes.c_double),
        ("top_p", ctypes.c_double),
        ("min_p", ctypes.c_double),
        ("repetition_penalty", ctypes.c_double),
        ("seed", ctypes.c_uint64),
        ("top_k", ctypes.c_int32),
    ]


_int, _size, _address, _text = ctypes.c_int32, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_char_p

#: Results, and what the functions take.
_signatures: Dict[str, Tuple[Any, List[Any]]] = {
    "status_text": (_text, [_int]),
    "arena_bytes": (_size, [_int]),
    "memory_offset": (_size, []),
    "sampling_bytes": (_size, []),
    "create": (_int, [_address, _address, _size, _text, _int, _text]),
    "create_from_memory": (_int, [_address, _address, _size, _address, _size, _int, _text]),
    "destroy": (None, [_address]),
    "reset": (_int, [_address, _int]),
    "forward": (_int, [_address, _address, _int]),
    "logits": (_address, [_address, _int]),
    "likeliest": (_int, [_address, _int]),
    "sample": (_int, [_address, _int, _int, ctypes.POINTER(Sampling), _address, ctypes.POINTER(_int)]),
    "length": (_int, [_address, _int]),
    "room": (_int, [_address, _int]),
    "rewind": (_int, [_address, _int, _int]),
    "session_bytes": (_size, [_address, _int]),
    "save": (_int, [_address, _int, _address, _size]),
    "restore": (_int, [_address, _int, _address, _size]),
    "variant": (_text, [_address]),
}

#: What is at fault by a status of the library; other statuses are faults of the call.
_codes = {
    1: "run/memory",
    2: "io/missing",
    3: "artefact/mismatch",
    4: "artefact/mismatch",
    5: "run/variant",
    6: "run/variant",
    7: "run/variant",
    12: "run/context",
    15: "artefact/invalid",
    16: "artefact/mismatch",
}


class Library:
    """The functions of a library file, each by its name without `lfm_` and the model's."""

    def __init__(self, path: Optional[Path]) -> None:
        file = path if path is not None else _find_library()
        try:
            self._library = ctypes.CDLL(str(file.resolve()))
            for name, (result, arguments) in _signatures.items():
                function = self._library[f"lfm_{facts.SYMBOL}_{name}"]
                function.restype, function.argtypes = result, arguments
                setattr(self, name, function)
        except (OSError, AttributeError) as error:
            raise LfmError("io/missing", f"{file}: is no library of {facts.NAME} that this machine can load: {error}") from error
        self._check_plan(file)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def check(self, status: int) -> None:
        """Raises what a status other than 0 says."""
        if status != 0:
            raise LfmError(_codes.get(status, "run/input"), f"{facts.NAME}: {self.status_text(status).decode()}", status)

    def _check_plan(self, file: Path) -> None:
        """The weights tell a library of another model, but one that was built before the same model was compiled anew has another plan."""
        planned = _rounded(facts.MEMORY_BYTES) + _rounded(facts.THREAD_BYTES)
        found = self.arena_bytes(1) - self.memory_offset() - 63
        if found != planned:
            raise LfmError("artefact/mismatch", f"{file}: was built for another plan of {facts.NAME}: build it again with `make`")


def find_file(name: str) -> Optional[Path]:
    """A file of the artefact, None where it is not there."""
    return next((path for path in (PACKAGE / name, ARTEFACT / name) if path.is_file()), None)


def _find_library() -> Path:
    for path in _library_places():
        if path.is_file():
            return path
    raise LfmError("io/missing", f"the library of {facts.NAME} is not built: run `make` in {ARTEFACT}, or `pip install` that folder")


def _library_places() -> Iterator[Path]:
    suffix = {"darwin": "dylib", "win32": "dll"}.get(sys.platform, "so")
    name = f"{facts.NAME}.dll" if sys.platform == "win32" else f"lib{facts.NAME}.{suffix}"
    yield PACKAGE / name
    yield ARTEFACT / "build" / name


def _rounded(count: int) -> int:
    return (count + 63) // 64 * 64
