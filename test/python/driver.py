"""
Does with an artefact's Python package what package.test.ts does with the JavaScript runtime: reads what to do as JSON, the artefact's
folder and module in it, and prints what came of it as JSON.
"""

import base64
import copy
import importlib
import json
import mmap
import os
import signal
import sys
import threading
from pathlib import Path

asked = json.load(sys.stdin)
sys.path.insert(0, str(Path(asked["folder"], "python")))
sys.dont_write_bytecode = True
package = importlib.import_module(asked["module"])
text = importlib.import_module(f"{asked['module']}.text")


def encoded(data):
    return base64.b64encode(data).decode("ascii")


def generated(model, case):
    """Every part, and the completion, which comes three ways."""
    with model.create_session() as session:
        session.generate(case["before"], max_tokens=0).close()
        if case["before"]:
            session.complete(case["before"], max_tokens=0)
        stream = session.generate(case["prompt"], **case["options"])
        parts = []
        while True:
            try:
                parts.append(next(stream))
            except StopIteration as end:
                assert end.value == session.result
                return {**session.result._asdict(), "parts": parts, "all": session.tokens}


def batched(model, cases, options):
    prompts = [case["before"] + case["prompt"] for case in cases]
    seeds = [case["options"]["seed"] for case in cases]
    most = [case["options"]["max_tokens"] for case in cases]
    found = sorted(model.complete_batch(iter(prompts), seeds=seeds, max_tokens=most, **options))
    alone = []
    for place, prompt in enumerate(prompts):
        with model.create_session() as session:
            alone.append((place, session.complete(prompt, seed=seeds[place], max_tokens=most[place], **options)))
    return {"isSame": found == alone, "completions": [completion._asdict() for _, completion in found]}


def moved(model, saved):
    """A session of the other runtime goes on here, and goes back."""
    session = model.restore(base64.b64decode(saved))
    before = session.tokens
    session.rewind(len(before) - 2)
    session.complete([5, 6], max_tokens=9, temperature=0, ignore_eos=True)
    session.rewind(session.position - 4)
    after = session.complete([], max_tokens=6, temperature=0.9, seed=8, ignore_eos=True)
    result = {"before": before, "tokens": after.tokens, "all": session.tokens, "saved": encoded(session.save())}
    session.release()
    return result


def logits(model, tokens):
    with model.create_session() as session:
        last = session.forward(tokens)
        again = session.forward([])
        session.rewind(3)
        rest = session.logits(tokens[3:])
    every = model.forward(tokens)
    assert every.shape == (len(tokens), model.vocab_size) and every.format == "f" and rest.shape[0] == len(tokens) - 3
    assert last.tobytes() == again.tobytes() == every.tobytes()[-last.nbytes :] == rest.tobytes()[-last.nbytes :]
    return encoded(every.tobytes())


def code(run):
    try:
        run()
    except package.LfmError as error:
        return error.code
    except TypeError:
        return "TypeError"
    return None


def exhausted(model):
    kept = []
    found = None
    while found is None:
        found = code(lambda: kept.append(model.create_session()))
    for session in kept:
        session.release()
    return found


def busy(model):
    with model.create_session() as session:
        stream = session.generate([1, 2], max_tokens=5)
        next(stream)
        found = [code(lambda: session.forward([1])), code(session.save), code(session.release)]
        stream.close()
        return [*found, code(lambda: session.forward([1]))]


def in_child(run):
    """What a process made by fork() meets."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        os.write(theirs, str(code(run)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(theirs)
    return os.read(ours, 100).decode()


def in_child_of_busy(model, run):
    """What it meets where another thread of its parent was in the middle of a call."""
    held, done = threading.Event(), threading.Event()

    def hold():
        with model.engine.lock:
            held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    found = in_child(run)
    done.set()
    holder.join()
    return found


def left_early(model):
    """A session that ends before its generator does; what the generator says then, and whether the slot is free."""
    with model.create_session() as session:
        stream = session.generate([1, 2], max_tokens=5, ignore_eos=True)
        next(stream)
    return [code(lambda: next(stream)), code(lambda: next(stream, None)), len(list(model.complete_batch([[1]] * 4, max_tokens=1)))]


def copied(thing):
    """A copy would have the same slot, and give it back."""
    return [code(lambda: copy.copy(thing)), code(lambda: copy.deepcopy(thing))]


def given_back():
    """Whether a closed model, which somebody still has, holds the weights that it was lent."""
    with open(Path(asked["folder"], "weights.bin"), "rb") as file:
        lent = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    model = load(weights=lent)
    model.close()
    try:
        lent.close()
    except BufferError:
        return False
    return code(model.create_session) == "run/disposed"


def refusals(model):
    session = model.create_session()
    generate = lambda prompt, **options: code(lambda: session.complete(prompt, **options))
    wrong = {name: generate([1], **{name: value}) for name, value in asked["wrong"]}
    released = model.create_session()
    released.release()
    found = {
        **wrong,
        "empty": generate([]),
        "token": generate([model.vocab_size]),
        "float": generate([1.5]),
        "context": generate([1] * (model.context + 1)),
        "released": code(lambda: released.forward([1])),
        "position": code(lambda: session.rewind(1)),
        "damaged": code(lambda: session.load(b"LFMS" + bytes(80))),
        "batch": code(lambda: list(model.complete_batch([[1], [2], [model.vocab_size]], max_tokens=3))),
        "few seeds": code(lambda: list(model.complete_batch([[1], [2]], seeds=[1], max_tokens=3))),
        "one text": code(lambda: model.complete_batch("text")),
        "threads": code(lambda: load(threads=65)),
        "variant": code(lambda: load(variant="none")),
        "weights": code(lambda: load(weights=__file__)),
        "no weights": code(lambda: load(weights="none.bin")),
        "no library": code(lambda: package.load(library="none.so")),
        "exhausted": exhausted(model),
        "busy": busy(model),
        "child": in_child(lambda: session.forward([1])),
        "child of busy": in_child_of_busy(model, model.create_session),
        "left early": left_early(model),
        "copy": [*copied(session), *copied(model)],
        "no logits": code(lambda: model.engine.logits(99, memoryview(bytearray(4 * model.vocab_size)))),
        "given back": given_back(),
        "usable": code(lambda: session.forward([1])),
    }
    session.release()
    return found


def load(**options):
    return package.load(library=asked["library"], **options)


def shared(cases):
    """Several threads of one process, each with sessions of one model: what each gives alone. The weights are those of a buffer."""
    data = Path(asked["folder"], "weights.bin").read_bytes()
    memory = bytearray(len(data) + 64)
    start = -package.engine._address_of(memory) % 64
    memory[start : start + len(data)] = data
    view = memoryview(memory)[start : start + len(data)].toreadonly()
    assert code(lambda: load(weights=memoryview(memory)[start + 1 : start + 1 + len(data)])) == "run/input"
    with load(weights=view, threads=2) as model:
        found = [None] * len(cases)

        def work(first):
            for place in range(first, len(cases), model.sessions):
                found[place] = generated(model, cases[place])

        workers = [threading.Thread(target=work, args=(first,)) for first in range(model.sessions)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert code(model.create_session) == "run/disposed"
    return found


def streamed(pieces, stops):
    """How bytes become text, piece by piece, and where it ends."""
    stream = text.TextStream(lambda piece: bytes(pieces[piece]))
    ends = text.StopStrings(stops)
    shown = [*map(stream.push, range(len(pieces))), stream.flush()]
    return {"text": shown, "stops": [*map(ends.push, shown)], "rest": ends.flush()}


with load() as model:
    cases = asked["cases"]
    alone = [generated(model, case) for case in cases]
    answer = {
        "facts": [model.context, model.sessions, model.vocab_size, model.variant, model.threads],
        "cases": alone,
        "batch": batched(model, cases, asked["batchOptions"]),
        "moved": moved(model, asked["saved"]),
        "logits": logits(model, asked["tokens"]),
        "refusals": refusals(model),
        "decoded": model.decode(asked["tokens"]),
        "streams": [streamed(**stream) for stream in asked["streams"]],
    }
answer["isShared"] = shared(cases) == alone
json.dump(answer, sys.stdout)
