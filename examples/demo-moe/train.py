"""Trains a mixture of experts like this folder's and writes it as a checkpoint: ../demo-model/train.py with --moe.

    pip install torch safetensors tokenizers
    python3 train.py OUT --seconds 1380     as this folder's was trained: for 23 minutes, on two cores
    python3 train.py OUT --steps 20         a quick try

Model, text and tokenizer are those of ../demo-model; the other options are that script's too.
"""

import runpy
import sys
from pathlib import Path

sys.argv.insert(1, "--moe")
runpy.run_path(str(Path(__file__).resolve().parents[1] / "demo-model" / "train.py"), run_name="__main__")
