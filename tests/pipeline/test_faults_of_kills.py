"""kill -9 in every stage: of a worker before, in the midst of and after a task, and of the client again and again."""

import os
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from clew import pipeline
from clew.blockwise.ledger import Ledger
from clew.blockwise.store import Store
from clew.blockwise.tasks import Task
from pipeline.block_runs import OPTIONS, assert_same, at_work, wait_for

SEGMENT = import_module("clew.pipeline.segment")
pytestmark = pytest.mark.compiled


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stage_of(task: Task) -> str:
    """What is written, and at which level of the hierarchy."""
    name, *place = task.writes[0]
    return f"{name}-{place[0]}" if len(place) == 4 and name != "face" else str(name)


def _die_once(store: Store, *, work: Callable[[Store], None], flag: Path, seconds: float | None) -> None:
    """The first task of a stage kills its worker: after some seconds of work, or when it is done but not marked."""
    first = not flag.exists()
    flag.touch()
    if first and seconds is not None:
        threading.Timer(seconds, _kill).start()
    work(store)
    if first:
        _kill()


def test_a_worker_killed_in_each_stage_changes_nothing(
    affinities: Path, expected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    flags, rng = tmp_path / "flags", random.Random(0)
    flags.mkdir()
    moments: dict[str, float | None] = {}
    run = SEGMENT.BlockWork

    def deadly(folder: Path, store: Any, tasks: list, *rest: Any, **more: Any) -> Any:
        moments.update({stage_of(task): rng.choice((0.0, 0.003, 0.01, None)) for task in tasks})
        for number, task in enumerate(tasks):
            stage = stage_of(task)
            work = partial(_die_once, work=task.work, flag=flags / stage, seconds=moments[stage])
            tasks[number] = replace(task, work=work)
        return run(folder, store, tasks, *rest, **more)

    monkeypatch.setattr(SEGMENT, "BlockWork", deadly)
    pipeline.segment_blocks(str(affinities), str(tmp_path / "blocks"), workers=2, **OPTIONS)
    assert {flag.name for flag in flags.iterdir()} == moments.keys()
    assert {
        "forest-0",
        "forest-1",
        "face",
        "fragments",
        "final-0",
        "tree_fragments-1",
        "tree_fragments",
        "tree",
        "totals-1",
        "segments-0",
        "segments-1",
        "dust-0",
        "dust-1",
        "joined-0",
        "segmentation",
    } <= moments.keys()
    assert_same(tmp_path / "blocks", expected)


def test_a_client_killed_again_and_again_changes_nothing(affinities: Path, expected: Path, tmp_path: Path):
    folder, rng = tmp_path / "blocks", random.Random(1)
    for tasks in (rng.randrange(1, 25), rng.randrange(45, 65), rng.randrange(70, 85)):
        with at_work(affinities, folder, "--workers", "1") as process:
            wait_for(folder, tasks, process)
            process.send_signal(signal.SIGKILL)
    assert len(Ledger(folder).done()) < sum(Ledger(folder).plan()["tasks"].values())
    pipeline.segment_blocks(str(affinities), str(folder), workers=1, **OPTIONS)
    assert_same(folder, expected)
