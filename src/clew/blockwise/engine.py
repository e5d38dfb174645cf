"""Run tasks on many workers, by a ledger: what is finished is not done again, what fails is noted, and too much stops all."""

import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field

from clew.blockwise.executor import Queue, Task, writers_of
from clew.blockwise.ledger import HEARTBEAT, Ledger, LostLockError, task_name
from clew.blockwise.store import DamagedError, Store
from clew.blockwise.trouble import in_words
from clew.errors import UnfinishedError
from clew.volumes.replace import disk_is_full

SAME_ERRORS = 5
"""So many tasks that fail with the same words stop a run."""
ALL_ERRORS = 100
"""So many failed tasks stop a run, whatever their words."""
WATCH = 30.0
"""Seconds in which no task ended after which a run looks whether its workers are well."""
KIBIBYTE = 1024


class TasksFailedError(UnfinishedError):
    """Some tasks failed; the ledger says which and why."""


@dataclass
class Work:
    """What a run did: tasks done by it, and the largest resident memory of each worker in bytes."""

    tasks: int = 0
    peaks: dict[str, int] = field(default_factory=dict)


def run_by_ledger(
    tasks: Sequence[Task],
    store: Store,
    ledger: Ledger,
    pool: Executor,
    *,
    wave: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    watch: Callable[[], None] = lambda: None,
) -> Work:
    """Do all tasks that the ledger does not list as done, at most `wave` at a time on the pool.

    A failed task holds up only those that need it; all others are done before the run ends.

    Parameters
    ----------
    tasks : sequence of Task
    store : Store
        Can be pickled if the pool is of processes.
    ledger : Ledger
        Held by this run.
    pool : Executor
    wave : int
        Tasks handed to the pool at a time: a few for each worker, so that no scheduler has to keep all of them.
    progress
        Called with the numbers of tasks done and of all tasks.
    watch
        Called every `WATCH` seconds in which no task ends.

    Raises
    ------
    TasksFailedError
        At the end, where tasks failed; at once, where `SAME_ERRORS` of them failed in the same way, or `ALL_ERRORS` in any.
    LostLockError
        Where another run has taken over.
    UnfinishedError
        Where the disk is full.
    """
    queue, finished, work = Queue(tasks), ledger.done(), Work()
    running: dict[Future[tuple[str, int]], int] = {}
    errors: Counter[str] = Counter()
    beaten = moved = time.monotonic()
    try:
        while True:
            _submit(queue, tasks, finished, running, pool, wave, store, ledger)
            progress(len(tasks) - queue.left, len(tasks))
            if not running:
                break
            ended, _ = wait(running, timeout=HEARTBEAT, return_when=FIRST_COMPLETED)
            for future in ended:
                _end(future, running.pop(future), queue, tasks, ledger, work, errors)
            now = time.monotonic()
            if now - beaten > HEARTBEAT:
                ledger.beat()
                beaten = now
            if ended or now - moved > WATCH:
                moved = now
                if not ended:
                    watch()
    finally:
        for future in running:
            future.cancel()
    if queue.left:
        failed = sum(errors.values())
        raise TasksFailedError(
            f"{failed} of the tasks failed and {queue.left - failed} wait for them; first: {next(iter(errors))}; "
            f"see clew status {ledger.folder}, then clew retry {ledger.folder}"
        )
    return work


def run_task(task: Task, store: Store, ledger: Ledger) -> tuple[str, int]:
    """Do a task and mark it, unless the run has lost its folder; returns the worker and its largest resident memory."""
    ledger.check()
    task.work(store)
    ledger.check()
    ledger.mark(task)
    return f"{os.uname().nodename}:{os.getpid()}", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBIBYTE


def _submit(
    queue: Queue,
    tasks: Sequence[Task],
    finished: set[str],
    running: dict[Future[tuple[str, int]], int],
    pool: Executor,
    wave: int,
    store: Store,
    ledger: Ledger,
) -> None:
    while queue.ready and len(running) < wave:
        number, task = queue.take(0)
        if task_name(task.writes[0]) in finished:
            queue.done(number)
        else:
            running[pool.submit(run_task, task, store, ledger)] = number


def _end(
    future: Future[tuple[str, int]],
    number: int,
    queue: Queue,
    tasks: Sequence[Task],
    ledger: Ledger,
    work: Work,
    errors: Counter[str],
) -> None:
    error = future.exception()
    if error is None:
        worker, peak = future.result()
        work.tasks += 1
        work.peaks[worker] = max(peak, work.peaks.get(worker, 0))
        queue.done(number)
        return
    if isinstance(error, LostLockError):
        raise error
    if disk_is_full(error):
        raise UnfinishedError(f"the disk is full: make room for {ledger.folder}, and give the same command again")
    if isinstance(error, DamagedError):
        for task in writers_of(tasks[number], tasks):
            ledger.unmark(task)
    text = in_words(error)
    ledger.note_failure(tasks[number], text)
    errors[text] += 1
    if errors[text] >= SAME_ERRORS or errors.total() >= ALL_ERRORS:
        way = (
            f"{SAME_ERRORS} tasks failed in the same way"
            if errors[text] >= SAME_ERRORS
            else f"{ALL_ERRORS} tasks failed"
        )
        raise TasksFailedError(
            f"stopped after {way}: {text}; see clew status {ledger.folder}, then clew retry {ledger.folder}"
        )
