"""Tasks and their order.

A task may run as soon as all that it reads has been written.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass

import numpy as np

from clew.blockwise.store import Key, Store


@dataclass(frozen=True)
class Task:
    """A pure function of what it reads.

    What it writes is the same however often it runs.

    Parameters
    ----------
    work : callable
        Reads from and writes to the store; can be pickled.
    reads, writes : tuple of Key
        Keys of the tables, and of the boxes of volumes. The first of `writes` names the task.
    instead : tuple of (Key, Key)
        Of a finished task, what may be missing of `writes`, and the key of what was made of it and is enough.
    """

    work: Callable[[Store], None]
    reads: tuple[Key, ...]
    writes: tuple[Key, ...]
    instead: tuple[tuple[Key, Key], ...] = ()

    @property
    def stage(self) -> str:
        """The first word of its name."""
        return str(self.writes[0][0])


class Queue:
    """Tasks in an order in which each comes after those that write what it reads.

    Parameters
    ----------
    tasks : sequence of Task
        What no task writes is taken to be there.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        writers = {key: index for index, task in enumerate(tasks) for key in task.writes}
        self._tasks = tasks
        self._followers: dict[int, list[int]] = {}
        self._missing = []
        for index, task in enumerate(tasks):
            before = {writers[key] for key in task.reads if key in writers}
            self._missing.append(len(before))
            for other in before:
                self._followers.setdefault(other, []).append(index)
        self.left = len(tasks)
        self.ready = deque(index for index, count in enumerate(self._missing) if count == 0)

    def take(self, place: int) -> tuple[int, Task]:
        """Take one of the tasks that are ready."""
        self.ready.rotate(-place)
        index = self.ready.popleft()
        return index, self._tasks[index]

    def done(self, index: int) -> None:
        """Note that a task is done: others may become ready."""
        self.left -= 1
        for other in self._followers.pop(index, []):
            self._missing[other] -= 1
            if self._missing[other] == 0:
                self.ready.append(other)


def run_serial(tasks: Sequence[Task], store: Store, *, rng: np.random.Generator | None = None) -> None:
    """Run one task after the other; with `rng` in a random order."""
    queue = Queue(tasks)
    while queue.ready:
        index, task = queue.take(0 if rng is None else int(rng.integers(len(queue.ready))))
        task.work(store)
        queue.done(index)
    _check_finished(queue)


def run_pool(tasks: Sequence[Task], store: Store, pool: Executor, *, wave: int) -> None:
    """Run tasks on a pool of threads or processes, at most `wave` at a time.

    The first error stops all.
    """
    queue = Queue(tasks)
    running: dict[Future[None], int] = {}
    try:
        while queue.ready or running:
            for index, task in _take_ready(queue, wave - len(running)):
                running[pool.submit(task.work, store)] = index
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
                queue.done(running.pop(future))
    finally:
        for future in running:
            future.cancel()
    _check_finished(queue)


def _take_ready(queue: Queue, count: int) -> Iterator[tuple[int, Task]]:
    while queue.ready and count > 0:
        yield queue.take(0)
        count -= 1


def _check_finished(queue: Queue) -> None:
    if queue.left:
        raise ValueError(f"{queue.left} tasks read what is written after them")


def writers_of(task: Task, tasks: Iterable[Task]) -> list[Task]:
    """The tasks that write what a task reads."""
    return [other for other in tasks if not set(task.reads).isdisjoint(other.writes)]


def stages_of(tasks: Iterable[Task]) -> Counter[str]:
    """How many tasks each stage has, by its name, in the order of the tasks."""
    return Counter(task.stage for task in tasks)


def keys(name: str, places: Iterable[tuple[int, ...]], *level: int) -> tuple[Key, ...]:
    """Keys of several blocks."""
    return tuple((name, *level, *place) for place in places)
