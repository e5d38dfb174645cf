"""Run tasks on many workers, by a ledger.

What is finished is not done again, what fails is noted, and too many failures stop the run.
"""

import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field

from clew.blockwise.ledger import Ledger, Spent
from clew.blockwise.store import DamagedError, LastingStore, task_name
from clew.blockwise.tasks import Queue, Task, writers_of
from clew.blockwise.trouble import error_line, workers_died
from clew.errors import InputError, UnfinishedError
from clew.lock import HEARTBEAT, LostLockError
from clew.replace import disk_is_full

SAME_ERRORS = 5
"""This many tasks that fail with the same message stop a run."""
ALL_ERRORS = 100
"""This many failed tasks stop a run, whatever their messages."""
WATCH = 30.0
"""Seconds in which no task ended after which a run looks whether its workers are well."""
KIBIBYTE = 1024


class TasksFailedError(UnfinishedError):
    """Some tasks failed; the ledger says which and why."""


@dataclass
class Work:
    """What a run did.

    The tasks it did, those it found whole, the largest resident memory of each worker in bytes, and what each stage took.
    """

    tasks: int = 0
    whole: int = 0
    peaks: dict[str, int] = field(default_factory=dict)
    spent: dict[str, Spent] = field(default_factory=dict)


def run_by_ledger(
    tasks: Sequence[Task],
    store: LastingStore,
    ledger: Ledger,
    pool: Executor,
    *,
    wave: int,
    progress: Callable[[Counter[str], Counter[str]], None] = lambda done, begun: None,
    watch: Callable[[], None] = lambda: None,
) -> Work:
    """Do all tasks that the ledger does not list as done.

    At most `wave` of them are on the pool at a time.

    A failed task holds up only those that need it; all others are done before the run ends.

    Parameters
    ----------
    tasks : sequence of Task
    store : LastingStore
        Can be pickled if the pool is of processes.
    ledger : Ledger
        Held by this run.
    pool : Executor
    wave : int
        Tasks handed to the pool at a time: a few for each worker, so that no scheduler has to keep all of them.
    progress : callable
        Called with the numbers of tasks of each stage that are done, and that this run has begun.
    watch : callable
        Called every `WATCH` seconds in which no task ends.

    Raises
    ------
    TasksFailedError
        At the end, where tasks failed; at once, where `SAME_ERRORS` of them failed in the same way, or `ALL_ERRORS` in any.
    LostLockError
        Where another run has taken over.
    UnfinishedError
        Where the disk is full, or the scheduler is lost.
    """
    run = _Run(tasks, store, ledger, pool, wave)
    checked = moved = time.monotonic()
    try:
        while True:
            run.submit()
            progress(run.done, run.begun)
            if not run.running:
                break
            ended, _ = wait(run.running, timeout=HEARTBEAT, return_when=FIRST_COMPLETED)
            for future in ended:
                run.end(future)
            now = time.monotonic()
            if now - checked > HEARTBEAT:
                ledger.check()
                checked = now
            if ended or now - moved > WATCH:
                moved = now
                if not ended:
                    watch()
    finally:
        for future in run.running:
            future.cancel()
        with suppress(LostLockError, OSError, InputError):  # what a run took is told, but never stops one
            ledger.check()
            ledger.add_spent(run.work.spent)
    if run.queue.left:
        failed = run.errors.total()
        raise TasksFailedError(
            f"{failed} of the tasks failed and {run.queue.left - failed} wait for them; first: {next(iter(run.errors))}; "
            f"see clew status {ledger.folder}, then clew retry {ledger.folder}"
        )
    return run.work


def run_task(task: Task, store: LastingStore, ledger: Ledger, *, doubted: bool) -> tuple[bool, str, int, float]:
    """Do a task and mark it as done, unless the run has lost its folder.

    A `doubted` task is done only if what it wrote is not whole.

    Returns whether it was done, the worker, its largest resident memory in bytes, and the seconds that it took.
    """
    start = time.perf_counter()
    ledger.check()
    needed = not (doubted and _is_whole(task, store))
    if needed:
        task.work(store)
    ledger.check()
    ledger.mark(task)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBIBYTE
    return needed, f"{os.uname().nodename}:{os.getpid()}", peak, time.perf_counter() - start


def _is_whole(task: Task, store: LastingStore) -> bool:
    """Tell whether all that a task wrote is there, or what was made of it."""
    instead = dict(task.instead)
    return all(store.holds(key) or (key in instead and store.holds(instead[key])) for key in task.writes)


class _Run:
    """The state of a run: what waits, what is running, what failed."""

    def __init__(self, tasks: Sequence[Task], store: LastingStore, ledger: Ledger, pool: Executor, wave: int) -> None:
        self.tasks, self.store, self.ledger, self.pool, self.wave = tasks, store, ledger, pool, wave
        self.queue, self.finished, self.work = Queue(tasks), ledger.done(), Work()
        self.doubted = ledger.doubted()
        self.done: Counter[str] = Counter()
        self.begun: Counter[str] = Counter()
        self.running: dict[Future[tuple[bool, str, int, float]], int] = {}
        self.errors: Counter[str] = Counter()
        self.suspects: list[int] = []
        """Tasks that workers held when they died: each is tried again alone, to see which of them was to blame."""
        self.alone: int | None = None

    def submit(self) -> None:
        """Hand tasks to the pool."""
        if self.suspects:
            if not self.running:
                self.alone = self.suspects.pop()
                self._start(self.alone)
            return
        while self.queue.ready and len(self.running) < self.wave:
            index, task = self.queue.take(0)
            if task_name(task.writes[0]) in self.finished:
                self._count(index)
            else:
                self._start(index)

    def end(self, future: Future[tuple[bool, str, int, float]]) -> None:
        """Take note of how a task ended."""
        index = self.running.pop(future)
        if future.cancelled():
            raise UnfinishedError(
                "the Dask scheduler was lost: what is done is kept; start a scheduler and give the same command again"
            )
        error = future.exception()
        if error is None:
            needed, worker, peak, seconds = future.result()
            self.work.tasks += needed
            self.work.whole += not needed
            self.work.peaks[worker] = max(peak, self.work.peaks.get(worker, 0))
            if needed:
                stage = self.tasks[index].stage
                self.work.spent[stage] = self.work.spent.get(stage, Spent()).and_then(Spent(1, seconds, peak))
            self._count(index)
        elif workers_died(error) and index != self.alone:
            self.suspects.append(index)
        else:
            self._fail(index, error)

    def _count(self, index: int) -> None:
        """Count a task as done."""
        self.queue.done(index)
        self.done[self.tasks[index].stage] += 1

    def _start(self, index: int) -> None:
        task = self.tasks[index]
        doubted = task_name(task.writes[0]) in self.doubted
        self.begun[task.stage] += 1
        self.running[self.pool.submit(run_task, task, self.store, self.ledger, doubted=doubted)] = index

    def _fail(self, index: int, error: BaseException) -> None:
        folder = self.ledger.folder
        if isinstance(error, LostLockError):
            raise error
        if disk_is_full(error):
            raise UnfinishedError(f"the disk is full: make room for {folder}, and give the same command again")
        if isinstance(error, DamagedError):
            for task in writers_of(self.tasks[index], self.tasks):
                if not all(map(self.store.holds, task.writes)):
                    self.ledger.unmark(task)
        text = error_line(error)
        self.ledger.note_failure(self.tasks[index], text)
        self.errors[text] += 1
        same = self.errors[text] >= SAME_ERRORS
        if same or self.errors.total() >= ALL_ERRORS:
            many = f"{SAME_ERRORS} tasks failed in the same way" if same else f"{ALL_ERRORS} tasks failed"
            raise TasksFailedError(f"stopped after {many}: {text}; see clew status {folder}, then clew retry {folder}")
