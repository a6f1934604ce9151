"""The one error of this package."""

from typing import Optional, Tuple


class LfmError(RuntimeError):
    """
    What cannot be done, and the way out. `code` is the JavaScript runtime's: `run/input`, `run/context`, `run/sessions`, `run/busy`,
    `run/disposed`, `run/variant`, `run/memory`, `io/missing`, `artefact/invalid`, `artefact/mismatch`; `status` is the C library's,
    None where it was not asked.
    """

    def __init__(self, code: str, message: str, status: Optional[int] = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status

    def __reduce__(self) -> Tuple[type, Tuple[str, str, Optional[int]]]:
        return LfmError, (self.code, str(self), self.status)
