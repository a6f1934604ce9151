"""
Ray for `lfmc batch --engine ray`, which starts this program and speaks lines of JSON with it.

stdin:  `{"package", "files", "weights", "variant", "threads", "workers", "address", "chunk"}`; options of `complete_batch`; requests
        `{"index", "tokens", "maxTokens", "seed", "endTokens"}`, a line each; an empty line. When the pipe breaks, lfmc is gone, and so is all that
        was started here.
stdout: after the first line `{"ready": {"workers", "threads", "ahead"}}`; in any order for each request `{"index", "tokens", "stopReason"}`;
        `{"ended": true}`; or at any time `{"failed": {"subject", "fact", "hint"}}`, which is the last line.
"""

import json
import logging
import mmap
import os
import select
import shutil
import socket
import sys
import tempfile
import threading
from pathlib import Path
from queue import Empty, Queue
from typing import Any, Dict, Iterator, List, Optional, TextIO, Tuple

import job

OLDEST_RAY = (2, 49)

#: What the head of a cluster, and no other machine, has.
HEAD = "node:__internal_head__"

#: Seconds after which a chunk leaves though it could hold more: whoever sends may be waiting for an answer.
PATIENCE = 0.2

#: How many times the workers' chunks the sender may be ahead of its first request without an answer, so that one slow worker, or one that
#: starts again, does not hold up the others.
AHEAD = 4


class Failure(Exception):
    """What ends the job, and the way out."""

    def __init__(self, subject: str, fact: str, hint: str) -> None:
        super().__init__(fact)
        self.subject = subject
        self.hint = hint


class Driver:
    """One job, from its first line to its last."""

    def __init__(self, requests: TextIO, answers: TextIO) -> None:
        self._requests = requests
        self._answers = answers
        self._asked: Dict[str, Any] = {}
        self._stopping = threading.Lock()

    def run(self) -> int:
        """The exit status."""
        threading.Thread(target=self._stop_with_lfmc, daemon=True).start()
        try:
            self._work()
            self._say({"ended": True})
            return 0
        except Failure as failure:
            self._say({"failed": {"subject": failure.subject, "fact": str(failure), "hint": failure.hint}})
        except Exception as error:
            if os.environ.get("LFMC_RAY_LOG"):
                logging.exception("the job failed")
            hint = "LFMC_RAY_LOG=1 shows what Ray writes; the same command again goes on where this one ended"
            self._say({"failed": {"subject": "Ray", "fact": job.reason(error), "hint": hint}})
        return 1

    def stop(self) -> None:
        """Leaves the cluster, and ends one that was started here."""
        ray = sys.modules.get("ray")
        with self._stopping:
            if ray is not None:
                ray.shutdown()

    def _work(self) -> None:
        self._asked = json.loads(self._requests.readline())
        ray = import_ray(self._asked["address"])
        with tempfile.TemporaryDirectory(prefix="lfmc-ray-") as folder:
            package = staged(Path(folder), Path(self._asked["package"]), self._asked["files"])
            connect(ray, self._asked, package)
        workers, threads = team(ray, self._asked)
        weights = ray.put(mapped(self._asked["weights"]))
        self._say({"ready": {"workers": workers, "threads": threads, "ahead": workers * job.CHUNKS_PER_WORKER * self._asked["chunk"] * AHEAD}})
        plan = job.Plan(package.name, json.loads(self._requests.readline()), self._asked["variant"], workers, threads)
        # Several calls of it wait at a time. It cannot restart, having forgotten what it was given: it lives where the cluster's own head does.
        job_actor = ray.remote(num_cpus=0, max_concurrency=16, resources={HEAD: 0.001})(job.Job).remote(plan, [weights])
        threading.Thread(target=self._feed, args=(ray, job_actor), daemon=True).start()
        while True:
            answers, fault = ray.get(job_actor.take.remote())
            if fault:
                raise RuntimeError(fault)
            if fault is not None:
                return
            self._answers.writelines(answers)
            self._answers.flush()

    def _feed(self, ray: Any, job_actor: Any) -> None:
        for chunk in chunks(self._requests, self._asked["chunk"]):
            ray.get(job_actor.put.remote(chunk))
        ray.get(job_actor.close.remote())

    def _say(self, message: Dict[str, Any]) -> None:
        self._answers.write(json.dumps(message) + "\n")
        self._answers.flush()

    def _stop_with_lfmc(self) -> None:
        """Waits for the pipe to break, whatever else waits."""
        pipe = select.poll()
        pipe.register(self._requests, 0)
        pipe.poll()
        # What does not end in time ends without being asked.
        threading.Timer(10, os._exit, [1]).start()
        self.stop()
        os._exit(1)


def chunks(lines: TextIO, size: int) -> Iterator[str]:
    """Lines by the chunk, up to an empty one. A chunk that nothing is added to for a while leaves as it is."""
    queue: "Queue[str]" = Queue(size)

    def read() -> None:
        for line in lines:
            queue.put(line.strip())

    threading.Thread(target=read, daemon=True).start()
    held: List[str] = []
    while True:
        try:
            line = queue.get(timeout=PATIENCE if held else None)
        except Empty:
            line = None
        if line:
            held.append(line)
        if held and (not line or len(held) == size):
            yield "\n".join(held)
            held = []
        if line == "":
            return


def import_ray(address: str) -> Any:
    """Ray, quiet. Raises a `Failure` where it is not there, or too old."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_COLOR_PREFIX", "0")
    client = address.startswith("ray://")
    extras = "ray[client,data]" if client else "ray[data]"
    hint = f"python3 -m venv ray-env && ray-env/bin/pip install '{extras}', then LFMC_PYTHON=ray-env/bin/python lfmc batch …"
    try:
        import ray
        import ray.data

        if client:
            import grpc  # noqa: F401
    except ImportError as error:
        raise Failure(sys.executable, f"has no Ray that can be used: {error}", hint) from error
    if tuple(int(part) for part in ray.__version__.split(".")[:2]) < OLDEST_RAY:
        oldest = ".".join(map(str, OLDEST_RAY))
        raise Failure(sys.executable, f"has Ray {ray.__version__}, and lfmc needs {oldest} or later", hint)
    ray.cloudpickle.register_pickle_by_value(job)
    return ray


def staged(folder: Path, package: Path, files: List[str]) -> Path:
    """The package with all that it needs beside it but the weights: what travels to each machine."""
    place = folder / package.name
    shutil.copytree(package, place, ignore=shutil.ignore_patterns("__pycache__", "weights.bin"))
    for file in files:
        shutil.copy(file, place)
    return place


def connect(ray: Any, asked: Dict[str, Any], package: Path) -> None:
    """Joins the cluster, or starts one on this machine. Raises a `Failure` where there is none."""
    address: str = asked["address"]
    options: Dict[str, Any] = {"runtime_env": {"py_modules": [str(package)]}, "logging_level": logging.ERROR, "log_to_driver": False}
    if address == "local":
        workers, threads = local_team(asked)
        ray.init(address="local", num_cpus=workers * threads, include_dashboard=False, **options)
        return
    check_reachable(address)
    try:
        ray.init(address=address, **options)
    except Exception as error:
        raise Failure(address, f"is no cluster that can be joined: {job.reason(error)}", START) from error


START = "start one (`ray start --head`) and give its address, or leave out --address for this machine alone"


def check_reachable(address: str) -> None:
    """Ray itself would try for half a minute and more."""
    if address == "auto":
        return
    host, _, port = address.split("://")[-1].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except ValueError as error:
        raise Failure(address, "is no address of a cluster", "auto, HOST:PORT, ray://HOST:PORT or local") from error
    except OSError as error:
        raise Failure(address, f"cannot be reached: {error}", START) from error


def local_team(asked: Dict[str, Any]) -> Tuple[int, int]:
    """Workers, and threads of each, on this machine."""
    workers: int = asked["workers"] or 2
    return workers, asked["threads"] or max(1, processors() // workers)


def processors() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def team(ray: Any, asked: Dict[str, Any]) -> Tuple[int, int]:
    """Workers, and threads of each: in a cluster by default one a machine. Raises a `Failure` where no machine has room for one."""
    if asked["address"] == "local":
        return local_team(asked)
    machines = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    workers: int = asked["workers"] or max(1, sum(1 for count in machines if count > 0))
    threads: int = asked["threads"] or max(1, min(sum(machines) // workers, max(machines, default=1)))
    if max(machines, default=0) < threads:
        raise Failure(asked["address"], f"has no machine with {threads} CPUs", "give a smaller --threads, or a cluster with larger machines")
    return workers, threads


def mapped(path: str) -> Any:
    """A file's bytes, which Ray reads from the file's own pages."""
    import numpy

    with open(path, "rb") as file:
        return numpy.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), numpy.uint8)


def main() -> int:
    """Ray, and whatever else prints, writes to stderr: stdout is for answers alone."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    driver = Driver(os.fdopen(sys.stdin.fileno(), encoding="utf-8", closefd=False), answers)
    status = driver.run()
    driver.stop()
    return status


if __name__ == "__main__":
    sys.exit(main())
