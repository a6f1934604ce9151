"""
A language model, compiled to C by lfmc.

    from @module@ import load

    with load(threads=2) as model, model.create_session() as session:
        for part in session.generate("Once upon a time", max_tokens=64):
            print(part.text, end="", flush=True)
"""

from .engine import Weights
from .errors import LfmError
from .generation import Completion, Part
from .model import Model, load
from .session import Prompt, Session
from .tokenizer import Tokenizer

__all__ = ["Completion", "LfmError", "Model", "Part", "Prompt", "Session", "Tokenizer", "Weights", "load"]
