"""Seeds one after the other in a process of their own, which may die or hang."""

import multiprocessing
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fuzz.judge import Case, limit_memory, prepare, try_seed

SECONDS = 60.0
"""After which a command counts as hanging."""


def try_seeds(seeds: Iterable[int], good: Path, scratch: Path, *, without: Sequence[str] = ()) -> Iterator[Case]:
    """Each seed in a process that is replaced when it dies or hangs; `without` some commands."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fuzz.judge", "clew.pipeline.predict", "clew.pipeline.train"])
    worker, pipe = _started(context, good, scratch, without)
    try:
        for seed in seeds:
            pipe.send(seed)
            try:
                case = (
                    pipe.recv()
                    if pipe.poll(SECONDS)
                    else _described(seed, good, scratch, without, f"hangs for {SECONDS:.0f} s")
                )
            except (EOFError, ConnectionResetError):
                worker.join()
                case = _described(seed, good, scratch, without, f"crash: the process ended with {worker.exitcode}")
            if case.finding.startswith(("hangs", "crash")):
                worker.kill()
                worker.join()
                worker, pipe = _started(context, good, scratch, without)
            yield case
    finally:
        worker.kill()
        worker.join()


def _started(context: Any, good: Path, scratch: Path, without: Sequence[str]) -> tuple[Any, Any]:
    ours, theirs = context.Pipe()
    worker = context.Process(target=_work, args=(theirs, good, scratch, without))
    worker.start()
    theirs.close()
    return worker, ours


def _work(pipe: Any, good: Path, scratch: Path, without: Sequence[str]) -> None:
    """Take seeds until there are no more."""
    limit_memory()
    sink = os.open(os.devnull, os.O_RDWR)
    os.dup2(sink, 2)  # libraries in C write there
    while True:
        seed = pipe.recv()
        pipe.send(try_seed(seed, good, scratch / f"seed-{seed}", without))


def _described(seed: int, good: Path, scratch: Path, without: Sequence[str], finding: str) -> Case:
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        return prepare(seed, good, Path(folder), without)[0]._replace(finding=finding)
