"""Exports that are killed (SIGKILL) at several moments, and go on: SOURCE FOLDER OPTIONS-AS-JSON.

It forks, which is safe here only, as nothing was read or written before. Each line of output is what lay there after a kill.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from clew import pipeline
from clew.blockwise import grid
from clew.blockwise.workers import Pool
from clew.pipeline import _block_run, _export_stacks
from clew.volumes import shared_precomputed

KILLS = 3
WRITERS = ("put", "note", "write_bytes", "written_whole", "__setitem__", "mark", "finish")
"""Functions of ours among whose calls one is the last."""


class Here(Executor):
    """Does all in this thread."""

    def submit(self, function: Callable, /, *arguments: Any, **options: Any) -> Future:
        future: Future = Future()
        future.set_result(function(*arguments, **options))
        return future


class Calls:
    """Counts calls, and kills the process at the last of them, if one is given."""

    def __init__(self, last: int = 0) -> None:
        self.count, self.last = 0, last

    def __call__(self, frame: Any, event: str, _: Any) -> None:
        ours = str(frame.f_globals.get("__name__")).startswith("clew.")
        if event == "call" and ours and frame.f_code.co_name in WRITERS:
            self.count += 1
            if self.count == self.last:
                os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def started(calls: Calls, *_: Any, **__: Any) -> Iterator[Pool]:
    """Begin to count where the work begins."""
    sys.setprofile(calls)
    yield Pool(Here(), 1, "")


def in_child(source: str, folder: Path, options: dict[str, Any], last: int = 0) -> int:
    """Export in a process of its own; its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.stdout, calls = sys.stderr, Calls(last)
    _block_run.started = partial(started, calls)  # type: ignore[assignment]
    pipeline.export(source, str(folder), **options)
    sys.setprofile(None)
    folder.with_suffix(".calls").write_text(str(calls.count))
    os._exit(0)


def main(source: str, place: Path, options: dict[str, Any]) -> None:
    """Export whole, and then killed and continued, to the folders `whole`, `0`, `1`, …"""
    grid.LARGEST_EDGE, shared_precomputed.CHUNK_BITS, _export_stacks.CHUNK = 64, 0, 2  # many tasks in a small volume
    assert in_child(source, place / "whole", options) == 0
    calls = int((place / "whole.calls").read_text())
    for number in range(KILLS):
        folder = place / str(number)
        assert in_child(source, folder, options, last=calls * (2 * number + 1) // (2 * KILLS)) == -signal.SIGKILL
        print(json.dumps([str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()]))
        assert in_child(source, folder, options) == 0


main(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))
