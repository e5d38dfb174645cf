"""Workers with too little memory: the task that wants more is named, all others are done, and more memory is enough."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import distributed
import numpy as np
import pytest

from clew.blockwise import engine
from clew.blockwise.engine import TasksFailedError, Work, run_by_ledger
from clew.blockwise.ledger import Ledger
from clew.blockwise.store import Store, TableFolder
from clew.blockwise.tasks import Task
from clew.blockwise.worker_options import Workers
from clew.blockwise.workers import SMALLEST_WORKER, started
from clew.errors import InputError, UnfinishedError

MEGABYTE = 1 << 20
WANTED = 1000
"""Megabytes that a hungry task takes."""


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the memory limit of the workers that are started."""
    cluster = distributed.LocalCluster

    def limit(size: str) -> None:
        monkeypatch.setattr(distributed, "LocalCluster", lambda **options: cluster(**options | {"memory_limit": size}))

    return limit


def _eat(store: Store, *, number: int, hungry: tuple[int, ...]) -> None:
    """Take memory bit by bit, so that a limit is noticed in time."""
    taken = []
    for _ in range(WANTED // 20 if number in hungry else 1):
        taken.append(np.ones(20 * MEGABYTE, np.uint8))
        time.sleep(0.02)
    store.save(("meal", number), {"megabytes": np.array([number, sum(part.size for part in taken) // MEGABYTE])})


def run(folder: Path, count: int, *hungry: int) -> Work:
    """Each task is separate; one worker."""
    tasks = [Task(partial(_eat, number=number, hungry=hungry), (), (("meal", number),)) for number in range(count)]
    ledger = Ledger(folder)
    with ledger.held(), started(Workers(workers=1), MEGABYTE) as pool:
        ledger.begin({}, restart=False)
        store = TableFolder(folder / "tables")
        return run_by_ledger(tasks, store, ledger, pool.executor, wave=pool.wave)


def test_only_what_needs_more_memory_fails_and_more_memory_is_enough(tmp_path: Path, limited: Callable[[str], None]):
    limited("600MB")
    words = r"too little memory \(limit: 0.60 GB\): give smaller blocks \(--block-shape.* and clew retry"
    with pytest.raises(TasksFailedError, match=f"1 of the tasks failed and 0 wait for them; .*{words}"):
        run(tmp_path / "run", 7, 1)
    ledger = Ledger(tmp_path / "run")
    (failure,) = ledger.failures()
    assert failure.tasks == ("meal/1",)
    assert len(ledger.done()) == 6
    limited("4GB")
    assert run(tmp_path / "run", 7, 1).tasks == 1
    assert ledger.failures() == []
    store = TableFolder(tmp_path / "run" / "tables")
    assert store.load(("meal", 1))["megabytes"].tolist() == [1, WANTED]


def test_a_run_whose_tasks_all_need_more_memory_stops(
    tmp_path: Path, limited: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(engine, "SAME_ERRORS", 2)
    limited("600MB")
    with pytest.raises(TasksFailedError, match="stopped after 2 tasks failed in the same way: the workers"):
        run(tmp_path / "run", 20, *range(20))


def test_workers_with_too_little_memory_to_start_are_refused():
    count = 1 + distributed.system.MEMORY_LIMIT // SMALLEST_WORKER
    with pytest.raises(InputError, match=f"{count} workers would have 0.30 GB each.* fewer --workers"):
        start(Workers(workers=count))


def test_a_first_task_that_fails_is_reported():
    with pytest.raises(UnfinishedError, match="the first task, a small trial, failed: a worker had too little"):
        start(Workers(workers=1), warm_up=_fail)


def start(workers: Workers, **options: Callable[[], None]) -> None:
    with started(workers, MEGABYTE, **options):
        pass


def _fail() -> None:
    raise MemoryError


def test_one_worker_may_use_all_memory_of_the_machine():
    with started(Workers(workers=1), MEGABYTE) as pool:
        memory = pool.executor.submit(_limit).result()
    assert memory == distributed.system.MEMORY_LIMIT


def _limit() -> int:
    return distributed.get_worker().memory_manager.memory_limit
