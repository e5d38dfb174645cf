"""Workers of a run: processes of this machine, an existing Dask scheduler, or jobs of a cluster."""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from clew.errors import InputError

SYSTEMS = {"slurm": "SLURMCluster", "lsf": "LSFCluster", "pbs": "PBSCluster", "sge": "SGECluster"}
WAVE = 4
"""Tasks handed out for each worker at a time."""


@dataclass(frozen=True)
class Workers:
    """Where tasks run.

    Parameters
    ----------
    count
        Processes of this machine, each with one thread; 0 for as many as cores and memory allow.
    scheduler
        Address of a Dask scheduler to use instead.
    cluster
        Jobs of a batch system to use instead: `system` (slurm, lsf, pbs or sge), `jobs`, and what dask-jobqueue takes.
    """

    count: int = 0
    scheduler: str | None = None
    cluster: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Pool:
    """Running workers: an executor, how many tasks to hand out at a time, and the page of their dashboard."""

    executor: Executor
    wave: int
    dashboard: str


@contextlib.contextmanager
def started(workers: Workers, bytes_of_a_worker: int) -> Iterator[Pool]:
    """Start or join workers; they are let go when the block ends.

    One worker compiles the kernels before the others need them.

    Raises
    ------
    InputError
        For a scheduler that does not answer, or a cluster that cannot be used.
    """
    from distributed import Client

    with contextlib.ExitStack() as stack:
        if workers.scheduler is not None:
            try:
                client = stack.enter_context(Client(workers.scheduler, timeout=10))
            except OSError as error:
                raise InputError(f"no Dask scheduler answers at {workers.scheduler}: {error}") from error
        else:
            client = stack.enter_context(Client(stack.enter_context(_cluster(workers, bytes_of_a_worker))))
        client.wait_for_workers(1, timeout=None if workers.cluster else 60)
        client.submit(_compile_kernels, pure=False).result()
        count = max(len(client.scheduler_info(n_workers=-1)["workers"]), _wanted(workers, bytes_of_a_worker))
        yield Pool(client.get_executor(pure=False), WAVE * count, client.dashboard_link)


def job_script(cluster: Mapping[str, Any]) -> str:
    """The script that a batch system would be given for one job."""
    with _batch_cluster(cluster) as found:
        return str(found.job_script())


def local_count(bytes_of_a_worker: int) -> int:
    """As many processes as there are cores, or fewer if the free memory is not enough for them."""
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, int(psutil.virtual_memory().available // max(bytes_of_a_worker, 1))))


def _wanted(workers: Workers, bytes_of_a_worker: int) -> int:
    if workers.cluster is not None:
        return int(workers.cluster.get("jobs", 1)) * int(workers.cluster.get("processes", 1))
    return 1 if workers.scheduler else workers.count or local_count(bytes_of_a_worker)


def _cluster(workers: Workers, bytes_of_a_worker: int) -> Any:
    if workers.cluster is not None:
        cluster = _batch_cluster(workers.cluster)
        cluster.scale(jobs=int(workers.cluster.get("jobs", 1)))
        return cluster
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=workers.count or local_count(bytes_of_a_worker), threads_per_worker=1, processes=True,
        dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL, memory_limit="auto",
    )  # fmt: skip


def _batch_cluster(cluster: Mapping[str, Any]) -> Any:
    try:
        import dask_jobqueue
    except ModuleNotFoundError:
        raise InputError("batch systems need dask-jobqueue: pip install clew[cluster]") from None
    options = {name: value for name, value in cluster.items() if name not in ("system", "jobs")}
    system = str(cluster.get("system", "")).lower()
    if system not in SYSTEMS:
        raise InputError(f"[cluster] needs a system, one of {', '.join(SYSTEMS)}, not {system!r}")
    try:
        return getattr(dask_jobqueue, SYSTEMS[system])(**options)
    except (TypeError, ValueError) as error:
        raise InputError(f"[cluster]: {error}") from error


def _compile_kernels() -> None:
    """Segment next to nothing, so that numba's cache is filled by one worker and read by the others."""
    import numpy as np

    from clew.blockwise.executor import run_serial
    from clew.blockwise.grid import Grid
    from clew.blockwise.segment import SegmentationOptions, memory_store, segmentation_tasks
    from clew.segmentation.agglomeration_options import AgglomerationOptions
    from clew.segmentation.blocks import Domain
    from clew.segmentation.fragment_options import FragmentOptions

    shape = (8, 8, 8)
    grid = Grid(Domain((0, 0, 0), shape, shape), (4, 8, 8))
    options = SegmentationOptions(FragmentOptions(), AgglomerationOptions(), 0.5, minimum_size=2)
    affinities = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    run_serial(segmentation_tasks(grid, options), memory_store(grid, affinities))
