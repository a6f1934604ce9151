"""What was compiled: names, limits and the model's own defaults. Written by lfmc @lfmc_version@; the library has the same numbers."""

from typing import Optional, Tuple

NAME = "@name@"
SYMBOL = "@symbol@"
VOCAB_SIZE = @vocabulary@
#: Positions that a session holds.
CONTEXT = @context@
#: Most rows of one call, and most of them that may want logits.
CHUNK = @chunk@
LOGIT_ROWS = @logit_rows@
SESSIONS = @sessions@
#: Bytes of the plan's memory, and of each thread's scratch beside it.
MEMORY_BYTES = @memory_bytes@
THREAD_BYTES = @thread_bytes@

TEMPERATURE = @temperature@
TOP_K = @top_k@
TOP_P = @top_p@
MIN_P = @min_p@
REPETITION_PENALTY = @repetition_penalty@

BOS: Optional[int] = @bos@
END_TOKENS: Tuple[int, ...] = (@end_tokens@)
#: Files of the artefact; None where the model came without.
TOKENIZER: Optional[str] = @tokenizer@
TOKENIZER_CONFIG: Optional[str] = @tokenizer_config@
