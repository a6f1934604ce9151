"""
A batch as a dataset of Ray's: what runs in the cluster. Nothing here is installed there; Ray carries it by value.

    Job --chunks--> one read task -> Workers -> Job

A row of the dataset is a chunk, which is lines of requests in JSON, so that nothing waits for a block of Ray's own size to fill.
"""

# Annotations of a class that is defined in a function are not among the names that Ray carries with it.
from __future__ import annotations

import json
import re
import threading
from collections import defaultdict, deque
from importlib import import_module
from typing import Any, Deque, Dict, Iterator, List, NamedTuple, Optional, Tuple

#: What a worker may have: a chunk that it works on, one that waits for it, and one on the way.
CHUNKS_PER_WORKER = 3

#: A chunk that costs more worker processes their lives than this ends the job.
MOST_RETRIES = 8

Request = Dict[str, Any]
"""`index`, `tokens`, `maxTokens`, `seed` and `endTokens`."""


class Plan(NamedTuple):
    """What all workers have in common."""

    #: Of the artefact's Python package.
    module: str
    #: Options of `complete_batch`.
    settings: Dict[str, Any]
    #: None for what each machine runs best.
    variant: Optional[str]
    workers: int
    #: Of each worker.
    threads: int


class Worker:
    """
    An actor that holds the model. The weights stay in Ray's object store, whose memory all workers of a machine share; they come as a list of one
    reference, since Ray would hand over a copy for the reference itself.
    """

    def __init__(self, plan: Plan, weights: List[Any]) -> None:
        import ray

        self._settings = plan.settings
        package = import_module(plan.module)
        self._model = package.load(threads=plan.threads, variant=plan.variant, weights=_aligned(ray.get(weights[0])))

    def __call__(self, rows: Any) -> Any:
        """The answers to chunks, in the same form."""
        import pyarrow

        answers = ["".join(self._answers(chunk)) for chunk in rows["lines"].to_pylist()]
        return pyarrow.table({"number": rows["number"], "lines": answers})

    def _answers(self, chunk: str) -> Iterator[str]:
        """Requests with the same end tokens share forward calls."""
        groups: Dict[Tuple[int, ...], List[Request]] = defaultdict(list)
        for line in chunk.splitlines():
            request = json.loads(line)
            groups[tuple(request["endTokens"])].append(request)
        for end_tokens, requests in groups.items():
            completions = self._model.complete_batch(
                [request["tokens"] for request in requests],
                seeds=[request["seed"] for request in requests],
                max_tokens=[request["maxTokens"] for request in requests],
                end_tokens=end_tokens,
                **self._settings,
            )
            for place, completion in completions:
                answer = {"index": requests[place]["index"], "tokens": completion.tokens, "stopReason": completion.stop_reason}
                yield json.dumps(answer, separators=(",", ":")) + "\n"


def _aligned(weights: Any) -> Any:
    """Bytes at a multiple of 64 in memory, as the library wants them: the object store's own, unless it lays them elsewhere."""
    import numpy

    if weights.ctypes.data % 64 == 0:
        return weights
    room = numpy.empty(weights.nbytes + 63, numpy.uint8)
    copy = room[-room.ctypes.data % 64 :][: weights.nbytes]
    copy[:] = weights
    return copy


class Job:
    """
    The actor in which the dataset runs: a client (`ray://`) could not run one. Chunks are numbered. One is kept until it is answered, for a read
    task that Ray runs again; and the first answer to it is the only one.
    """

    def __init__(self, plan: Plan, weights: List[Any]) -> None:
        self._changed = threading.Condition()
        self._chunks: Dict[int, str] = {}
        self._count = 0
        self._is_whole = False
        self._answers: Deque[str] = deque()
        self._room = plan.workers * CHUNKS_PER_WORKER
        self._end: Optional[str] = None
        threading.Thread(target=self._run, args=(plan, weights), daemon=True).start()

    def put(self, chunk: str) -> None:
        """Takes a chunk when there is room for one more without an answer."""
        with self._changed:
            self._changed.wait_for(lambda: self._room > 0)
            self._room -= 1
            self._chunks[self._count] = chunk
            self._count += 1
            self._changed.notify_all()

    def close(self) -> None:
        """No more chunk comes."""
        with self._changed:
            self._is_whole = True
            self._changed.notify_all()

    def chunk(self, number: int) -> Optional[str]:
        """A chunk when it has come, empty when it has been answered; None after the last."""
        with self._changed:
            self._changed.wait_for(lambda: number < self._count or self._is_whole)
            return self._chunks.get(number, "") if number < self._count else None

    def take(self) -> Tuple[List[str], Optional[str]]:
        """Answers that have not been taken, one or more; after the last, none, and what went wrong: "" for nothing."""
        with self._changed:
            self._changed.wait_for(lambda: self._answers or self._end is not None)
            answers = list(self._answers)
            self._answers.clear()
            self._room += len(answers)
            self._changed.notify_all()
            return answers, None if answers else self._end

    def _run(self, plan: Plan, weights: List[Any]) -> None:
        import ray

        try:
            chunks = _dataset(ray.get_runtime_context().current_actor)
            answers = chunks.map_batches(
                Worker,
                fn_constructor_args=(plan, weights),
                compute=ray.data.ActorPoolStrategy(size=plan.workers, max_tasks_in_flight_per_actor=2),
                num_cpus=plan.threads,
                batch_size=1,
                batch_format="pyarrow",
                max_restarts=-1,
                max_task_retries=MOST_RETRIES,
            )
            for rows in answers.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                self._settle(rows["number"].to_pylist(), rows["lines"].to_pylist())
            self._finish("")
        except Exception as error:
            self._finish(reason(error))

    def _settle(self, numbers: List[int], answers: List[str]) -> None:
        with self._changed:
            self._answers.extend(answer for number, answer in zip(numbers, answers) if self._chunks.pop(number, None) is not None)
            self._changed.notify_all()

    def _finish(self, fault: str) -> None:
        with self._changed:
            self._end = fault
            self._changed.notify_all()


def _dataset(job: Any) -> Any:
    """The chunks of a job, read by one task as they come, and no faster than workers take them."""
    import pyarrow
    import ray
    from ray.data import DataContext, Datasource, ReadTask
    from ray.data.block import BlockMetadata

    context = DataContext.get_current()
    context.enable_progress_bars = False
    # Bytes: every row is larger, and so leaves as a block of its own.
    context.target_max_block_size = 1

    def chunks() -> Iterator[Any]:
        number = 0
        while True:
            chunk = ray.get(job.chunk.remote(number))
            if chunk is None:
                return
            yield pyarrow.table({"number": [number], "lines": [chunk]})
            number += 1

    class Chunks(Datasource):  # type: ignore[misc]
        def estimate_inmemory_data_size(self) -> Optional[int]:
            return None

        def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> List[Any]:
            unknown = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None)
            return [ReadTask(chunks, unknown)]

    return ray.data.read_datasource(Chunks(), override_num_blocks=1, ray_remote_args={"num_cpus": 0})


def reason(error: BaseException) -> str:
    """What went wrong first, of all that Ray wraps round it; where it wraps nothing, the last line that it says."""
    text = str(error)
    first = re.search(r"^(?:\w+\.)*(\w*(?:Error|Exception): .+)$", text, re.MULTILINE)
    if first is not None:
        return first[1].strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
