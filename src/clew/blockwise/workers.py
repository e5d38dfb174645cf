"""Workers of a run: local processes, a Dask scheduler, or jobs of a cluster.

Whoever reaches a scheduler or a worker of Dask can run code there. So all that we start speak TLS, with a key of this run.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

from clew.blockwise.batch import NO_PAGES, WORKER_SETTINGS, batch_jobs, batch_workers, private_settings
from clew.blockwise.worker_options import Workers
from clew.errors import InputError, UnfinishedError
from clew.memory import free_memory

WAVE = 4
"""Tasks handed out for each worker at a time."""
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": 32 << 20, "MALLOC_TRIM_THRESHOLD_": 512 << 20}
"""Bytes (glibc): arrays smaller than the former lie in memory that a process keeps, up to the latter: each task needs it again.
Dask gives all back at once, and the system then clears every page anew (a fifth of all CPU seconds)."""
HERE: dict[str, Any] = {
    **WORKER_SETTINGS,
    **{f"distributed.nanny.pre-spawn-environ.{name}": size for name, size in KEPT_MEMORY.items()},
    "distributed.scheduler.allowed-failures": 1,
    "distributed.deploy.lost-worker-timeout": "1000 days",
}
"""Dask's settings for processes of this machine. Workers may die once under a task: the engine tries it again alone. Those that
die are started anew; by default the cluster gives one up for good that is just starting 15 s after it died, and all waits."""
SMALLEST_WORKER = 300_000_000
"""Bytes that a process needs before it has done anything; with less it would die and be started anew for ever."""


@dataclass(frozen=True)
class Pool:
    """Running workers.

    It holds an executor, how many tasks to hand out at a time, the page of a dashboard if there is one, and a function that
    says what keeps all workers from working.
    """

    executor: Executor
    wave: int
    dashboard: str
    trouble: Callable[[], str] = lambda: ""


@contextlib.contextmanager
def started(
    workers: Workers, bytes_of_a_worker: int, *, most: int | None = None, warm_up: Callable[[], None] | None = None
) -> Iterator[Pool]:
    """Start or join workers; they are let go when the block ends.

    Parameters
    ----------
    workers : Workers
    bytes_of_a_worker : int
        Memory that a task needs at most; fewer processes are started where it is short.
    most : int, optional
        Processes that make sense on this machine.
    warm_up : callable, optional
        Done by one worker before the others start: kernels are compiled once.

    Raises
    ------
    InputError
        For a scheduler that does not answer, a cluster that cannot be used, a resource that no worker has, or more processes
        than this machine has memory for.
    UnfinishedError
        Where the first task fails.
    """
    import dask
    from distributed import Client

    from clew.blockwise.trouble import why_nothing_moves

    count = workers.workers or min(local_count(bytes_of_a_worker), most or sys.maxsize)
    with contextlib.ExitStack() as stack:
        if workers.scheduler is not None:
            client = stack.enter_context(_joined(workers.scheduler))
        else:
            stack.enter_context(private_settings())
            stack.enter_context(dask.config.set({} if workers.cluster else HERE))
            client = stack.enter_context(Client(stack.enter_context(_cluster(workers, count))))
        client.wait_for_workers(1, timeout=None if workers.cluster else 60)
        running = client.scheduler_info(n_workers=-1)["workers"].values()
        needed = {} if workers.resource is None else {workers.resource: 1}
        if workers.scheduler and not any(needed.keys() <= worker["resources"].keys() for worker in running):
            raise InputError(
                f"no worker of {workers.scheduler} has the resource {workers.resource}: start some with "
                f'dask worker --resources "{workers.resource}=1"'
            )
        if warm_up is not None:
            _warm_up(client.submit(warm_up, pure=False, resources=needed))
        tasks = WAVE * max(len(running), _wanted(workers, count))
        executor = client.get_executor(pure=False, resources=needed)
        yield Pool(
            executor, tasks, client.dashboard_link if workers.scheduler else "", partial(why_nothing_moves, client)
        )


def _joined(scheduler: str) -> Any:
    """A client of a scheduler that runs already.

    Certificates for it are those of Dask's own configuration.
    """
    from distributed import Client

    _check_address(scheduler)
    try:
        return Client(scheduler, timeout=10)
    except OSError as error:
        raise InputError(f"no Dask scheduler answers at {scheduler}: {error}") from error
    except TypeError as error:
        settings = [f"DASK_DISTRIBUTED__COMM__TLS__{name}" for name in ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY")]
        raise InputError(
            f"{scheduler} asks for certificates: name their files in {', '.join(settings)}, or in Dask's configuration"
        ) from error


def _check_address(scheduler: str) -> None:
    """Refuse what is no address of a scheduler before a client is made.

    The client would leave a thread behind.
    """
    from distributed.comm.addressing import parse_address, parse_host_port
    from distributed.comm.registry import get_backend

    try:
        scheme, place = parse_address(scheduler)
        get_backend(scheme)
        parse_host_port(place)
    except ValueError as error:
        raise InputError(
            f"{scheduler!r} is no address of a Dask scheduler, such as tcp://node7:8786: {error}"
        ) from error


def _warm_up(done: Any) -> None:
    from clew.blockwise.trouble import error_line

    error = done.exception()
    if error is not None:
        raise UnfinishedError(f"the first task, a small trial, failed: {error_line(error)}") from error


def own_device(device: str) -> str:
    """The device of this worker.

    The processes on a machine of several GPUs take one each, by their index.
    """
    from distributed import get_worker

    try:
        name = str(get_worker().name)
    except ValueError:
        return device
    return f"{device}:{name}" if device == "cuda" and name.isdigit() else device


def local_count(bytes_of_a_worker: int) -> int:
    """As many processes as there are cores, or fewer if memory is short."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, free_memory() // max(bytes_of_a_worker, 1)))


def _wanted(workers: Workers, count: int) -> int:
    """Workers that will be there in the end, as far as can be known."""
    if workers.cluster is not None:
        return batch_workers(workers.cluster)
    return 1 if workers.scheduler else count


def _cluster(workers: Workers, count: int) -> contextlib.AbstractContextManager[Any]:
    if workers.cluster is not None:
        return batch_jobs(workers.cluster)
    from distributed import LocalCluster
    from distributed.system import MEMORY_LIMIT

    if count * SMALLEST_WORKER > MEMORY_LIMIT:
        raise InputError(
            f"{count} workers would have {MEMORY_LIMIT / count / 1e9:.2f} GB each, and a process takes "
            f"{SMALLEST_WORKER / 1e9:.1f} GB before it has done anything: give fewer --workers"
        )
    return LocalCluster(
        n_workers=count, threads_per_worker=1, processes=True, security=True, dashboard_address=None,
        scheduler_kwargs=NO_PAGES, silence_logs=logging.CRITICAL,
        resources=None if workers.resource is None else {workers.resource: 1},
    )  # fmt: skip
