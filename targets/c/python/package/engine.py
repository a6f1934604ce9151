"""
A model in its arena. Every call of the library goes through here: one at a time, whatever threads ask; never after the end; never in a
process that fork() made, which has none of the model's threads.
"""

import ctypes
import mmap
import os
import sys
import threading
import weakref
from array import array
from pathlib import Path
from typing import Any, Optional, Union

from . import facts
from .errors import LfmError
from .library import Library, Sampling, find_file

#: A path, or bytes that lie in memory: of a mapping, of numpy, of whatever has the buffer protocol.
Weights = Union[str, "os.PathLike[str]", Any]


class Engine:
    """One model."""

    def __init__(self, library: Optional[Path], weights: Optional[Weights], threads: int, variant: Optional[str]) -> None:
        self._lock = threading.RLock()
        self._library = Library(library)
        arena = _allocate(self._library.arena_bytes(threads), threads)
        wish = None if variant is None else variant.encode()
        pointer = ctypes.c_void_p()
        place = ctypes.byref(pointer), _address_of(arena), len(arena)
        if weights is None:
            weights = find_file("weights.bin")
        held = None
        if weights is None or isinstance(weights, (str, os.PathLike)):
            path = None if weights is None else os.fsencode(weights)
            self._library.check(self._library.create(*place, path, threads, wish))
        else:
            held = memoryview(weights)
            address = _address_of(held)
            if address % 64 != 0:
                raise LfmError("run/input", "weights: do not lie at a multiple of 64 in memory: give a path, or a copy that does")
            self._library.check(self._library.create_from_memory(*place, address, held.nbytes, threads, wish))
        self._life = _Life(self._library, pointer.value or 0, self._lock, (arena, held))
        self.variant: str = self._library.variant(self._pointer()).decode()
        self._room = array("Q", bytes((self._library.sampling_bytes() + 7) // 8 * 8))
        self._token = ctypes.c_int32()
        # Called at the interpreter's end too: the library's threads must not outlive the arena that they work in.
        self._end = weakref.finalize(self, self._life.end)

    @property
    def lock(self) -> threading.RLock:
        """For who needs several calls in a row. A process made by fork() gets another, since nobody there gives back this one."""
        return self._lock if os.getpid() == self._life.process else threading.RLock()

    def close(self) -> None:
        """Joins the threads and lets go of the memory; once more is let pass."""
        self._end()

    def assert_alive(self) -> None:
        """Raises `run/disposed` where the model is of no use any more."""
        self._pointer()

    def forward(self, rows: "array[int]") -> None:
        """Evaluates rows: token, slot, position and whether it wants logits, one row after the other."""
        with self.lock:
            self._library.check(self._library.forward(self._pointer(), rows.buffer_info()[0], len(rows) // 4))

    def logits(self, index: int, into: memoryview) -> None:
        """Copies the logits of the index-th row that wanted some in the last call: `into` has 4 bytes for each token."""
        with self.lock:
            source = self._library.logits(self._pointer(), index)
            if source is None or into.nbytes < facts.VOCAB_SIZE * 4:
                raise LfmError("run/input", f"{index}: the last call computed no such logits, or there is no room for them")
            ctypes.memmove(_address_of(into), source, facts.VOCAB_SIZE * 4)

    def sample(self, slot: int, index: int, sampling: Sampling) -> int:
        """The token that follows the slot's by those logits."""
        with self.lock:
            room = self._room.buffer_info()[0]
            self._library.check(self._library.sample(self._pointer(), slot, index, sampling, room, self._token))
            return self._token.value

    def length(self, slot: int) -> int:
        """Tokens that the slot has evaluated."""
        with self.lock:
            return int(self._library.length(self._pointer(), slot))

    def room(self, slot: int) -> int:
        """Most rows of the slot that one call may have now."""
        with self.lock:
            return int(self._library.room(self._pointer(), slot))

    def reset(self, slot: int) -> None:
        """Empties a slot."""
        with self.lock:
            self._library.check(self._library.reset(self._pointer(), slot))

    def rewind(self, slot: int, length: int) -> None:
        """Takes a slot back to its first `length` tokens, exactly."""
        with self.lock:
            self._library.check(self._library.rewind(self._pointer(), slot, length))

    def save(self, slot: int) -> bytes:
        """The slot's tokens and state, as every target reads them."""
        with self.lock:
            saved = bytearray(self._library.session_bytes(self._pointer(), slot))
            self._library.check(self._library.save(self._pointer(), slot, _address_of(saved), len(saved)))
            return bytes(saved)

    def restore(self, slot: int, saved: memoryview) -> None:
        """Replaces a slot by a saved one."""
        with self.lock:
            self._library.check(self._library.restore(self._pointer(), slot, _address_of(saved), saved.nbytes))

    def _pointer(self) -> int:
        if self._life.model is None:
            raise LfmError("run/disposed", f"{facts.NAME}: the model has been closed: load it again")
        if os.getpid() != self._life.process:
            raise LfmError("run/disposed", f"{facts.NAME}: the model belongs to the process that forked this one: load it here")
        return self._life.model


class _Life:
    """A model until its end, apart from the engine, whose own end may be the reason."""

    def __init__(self, library: Library, model: int, lock: threading.RLock, memory: object) -> None:
        self.model: Optional[int] = model
        self.process = os.getpid()
        self._library, self._lock = library, lock
        self._memory: Optional[object] = memory

    def end(self) -> None:
        """Waits for a call that runs. A process made by fork() has no threads to join, and perhaps a lock that nobody gives back."""
        if os.getpid() != self.process:
            return
        with self._lock:
            model, self.model = self.model, None
            if model is not None:
                self._library.destroy(model)
            self._memory = None


def _allocate(count: int, threads: int) -> mmap.mmap:
    """Memory that nobody has touched, so that the library may ask for huge pages."""
    if count == 0:
        raise LfmError("run/variant", f"{threads} is not a number of threads from 1 to 64", 6)
    try:
        if sys.platform == "win32":
            return mmap.mmap(-1, count)
        return mmap.mmap(-1, count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, MemoryError, OverflowError) as error:
        raise LfmError("run/memory", f"{facts.NAME}: the system does not give {count} bytes: compile with a smaller --context") from error


class _Buffer(ctypes.Structure):
    """Py_buffer: ctypes itself gives no address of a buffer that may only be read."""

    _fields_ = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    ]


def _address_of(buffer: object) -> int:
    """Where the bytes of a buffer begin; it must be kept by who asked."""
    found = _Buffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(buffer), ctypes.byref(found), 0)
    address = int(found.buf or 0)
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(found))
    return address
