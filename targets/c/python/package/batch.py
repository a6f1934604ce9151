"""Many prompts, as many at once as there are free slots: all of them share each forward call, and a slot that ends takes the next prompt."""

from typing import TYPE_CHECKING, Dict, Generator, Iterator, Sequence, Tuple

from . import facts
from .errors import LfmError
from .generation import Completion, Generation, Plan
from .timeline import Timeline, step

if TYPE_CHECKING:
    from .model import Model

#: A prompt's place among all, its tokens, and what is asked for.
Job = Tuple[int, Sequence[int], Plan]


def run_batch(model: "Model", jobs: Iterator[Job]) -> Generator[Tuple[int, Completion], None, None]:
    """Completions as they end. Takes a job when it has a slot for it; gives the slots back whatever ends it."""
    slots = model.claim(facts.SESSIONS)
    running: Dict[Timeline, Tuple[int, Generation]] = {}
    try:
        free = [Timeline(model.engine, slot) for slot in slots]
        while True:
            while free:
                job = next(jobs, None)
                if job is None:
                    break
                timeline = free.pop()
                running[timeline] = job[0], _begin(model, timeline, job)
            if not running:
                return
            with model.engine.lock:
                waiting = [timeline for timeline, (_, generation) in running.items() if generation.stop_reason is None]
                for answer in step(waiting) if waiting else ():
                    running[answer.timeline][1].take(answer.first)
            for timeline, (place, generation) in list(running.items()):
                if generation.stop_reason is not None:
                    del running[timeline]
                    timeline.rewind(0)
                    free.append(timeline)
                    yield place, generation.completion()
    finally:
        model.give_back(slots)


def _begin(model: "Model", timeline: Timeline, job: Job) -> Generation:
    place, tokens, plan = job
    try:
        return Generation(timeline, tokens, plan, model.tokenizer)
    except LfmError as error:
        raise LfmError(error.code, f"prompts[{place}]: {error}", error.status) from error
