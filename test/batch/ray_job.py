"""Of compiler/batch/ray/python, what works without Ray: chunks of lines, a worker's answers, the rules of a job. Silent where all is well."""

import io
import json
import os
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any, Iterable, Iterator, List, NamedTuple, Sequence, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "compiler" / "batch" / "ray" / "python"))

import driver  # noqa: E402
import job  # noqa: E402


class Completion(NamedTuple):
    tokens: List[int]
    stop_reason: str


class Model:
    """Answers backwards, the last prompt first."""

    calls: List[Any] = []

    def complete_batch(self, prompts: Sequence[List[int]], **options: Any) -> Iterator[Tuple[int, Completion]]:
        Model.calls.append(options)
        for place, tokens in reversed(list(enumerate(prompts))):
            yield place, Completion(tokens[::-1], "length")


def check_chunks() -> None:
    """Full chunks, then what is left; nothing after the empty line."""
    lines = io.StringIO("".join(f"{i}\n" for i in range(7)) + "\nlater\n")
    assert list(driver.chunks(lines, 3)) == ["0\n1\n2", "3\n4\n5", "6"]
    assert list(driver.chunks(io.StringIO("0\n1\n\n"), 2)) == ["0\n1"]
    assert list(driver.chunks(io.StringIO("\n"), 2)) == []


def check_patience() -> None:
    """A chunk that nothing is added to leaves, since its sender may be waiting for answers."""
    source, sink = os.pipe()
    with os.fdopen(source) as lines, os.fdopen(sink, "w") as sender:
        chunks = driver.chunks(lines, 3)
        sender.write("0\n")
        sender.flush()
        assert next(chunks) == "0"
        sender.write("1\n\n")
        sender.flush()
        assert list(chunks) == ["1"]


def check_worker() -> None:
    """Requests with the same end tokens are asked for together, and each answer has its own index."""
    package: Any = types.ModuleType("fake_package")
    package.load = lambda **_: Model()
    sys.modules["fake_package"] = package
    worker = object.__new__(job.Worker)
    worker._settings, worker._model = {"temperature": 0}, Model()
    requests = [
        {"index": i, "tokens": [i, 50], "maxTokens": 4 + i, "seed": i + 9, "endTokens": [2] if i < 3 else [2, 5]} for i in range(5)
    ]
    answers = [json.loads(line) for line in worker._answers("\n".join(map(json.dumps, requests)))]
    assert answers == [{"index": i, "tokens": [50, i], "stopReason": "length"} for i in (2, 1, 0, 4, 3)], answers
    assert Model.calls == [
        {"seeds": [9, 10, 11], "max_tokens": [4, 5, 6], "end_tokens": (2,), "temperature": 0},
        {"seeds": [12, 13], "max_tokens": [7, 8], "end_tokens": (2, 5), "temperature": 0},
    ], Model.calls


class QuietJob(job.Job):
    """Its dataset is the test."""

    def _run(self, plan: job.Plan, weights: List[Any]) -> None:
        pass


def waits(call: Any, then: Any) -> Any:
    """What a call returns that had to wait until `then` was done."""
    results: List[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    time.sleep(0.05)
    assert thread.is_alive(), "it did not wait"
    then()
    thread.join(10)
    return results[0]


def check_job() -> None:
    """Room for so many; a chunk is there for whoever asks again until it is answered; the first answer counts."""
    work = QuietJob(job.Plan("fake_package", {}, None, 1, 1), [])
    for text in ("a", "b", "c"):
        work.put(text)
    assert [work.chunk(0), work.chunk(1), work.chunk(0)] == ["a", "b", "a"]
    work._settle([1], ["B\n"])
    work._settle([1, 0], ["B again\n", "A\n"])
    assert work.chunk(1) == ""
    answers, end = waits(lambda: (work.put("d"), work.take())[1], lambda: taken.extend(work.take()[0]) or work._settle([2], ["C\n"]))
    assert (taken, answers, end) == (["B\n", "A\n"], ["C\n"], None), (taken, answers, end)
    assert waits(lambda: work.chunk(4), work.close) is None
    assert work.chunk(3) == "d"
    work._settle([3], ["D\n"])
    work._finish("")
    assert [work.take(), work.take()] == [(["D\n"], None), ([], "")]


def check_fault() -> None:
    """Answers that are there are handed over before what went wrong is told."""
    work = QuietJob(job.Plan("fake_package", {}, None, 1, 1), [])
    work.put("a")
    work._settle([0], ["A\n"])
    work._finish("no room")
    assert [work.take(), work.take()] == [(["A\n"], None), ([], "no room")]


def check_reason() -> None:
    """The first error of those that Ray wraps, else its last words."""
    wrapped = "ray::Worker()\n  File\ndemo.errors.LfmError: no room\n\nThe above ...\n\nray.exceptions.UserCodeException: failed\nTo change\n"
    assert job.reason(RuntimeError(wrapped)) == "LfmError: no room"
    assert job.reason(ConnectionError("Ray\ncannot be reached\n")) == "cannot be reached"
    assert job.reason(ConnectionError()) == "ConnectionError"


taken: List[str] = []
checks: Iterable[Any] = (check_chunks, check_patience, check_worker, check_job, check_fault, check_reason)
for check in checks:
    check()
