"""Workers that are jobs of a batch system, by a table [cluster] of a TOML file; a job that ends is followed by another."""

import contextlib
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clew.errors import InputError

SYSTEMS = {"slurm": "SLURMCluster", "lsf": "LSFCluster", "pbs": "PBSCluster", "sge": "SGECluster"}
NEVER = tuple(f"distributed.worker.memory.{what}" for what in ("target", "spill", "pause"))
"""What workers do not do when memory gets short: Dask holds nothing of ours that could be put away, so that a paused worker
would wait for ever. At 95 % the nanny kills it."""
LOST = 60.0
"""Seconds after which a job without a worker has ended, as at its wall time. Its nanny starts a worker that died sooner."""


@contextlib.contextmanager
def batch_jobs(path: str) -> Iterator[Any]:
    """A Dask cluster of as many jobs as the table says; those that end are submitted again while the block lasts.

    A job that never had a worker is not followed by another: what keeps it from starting would keep all.

    Raises
    ------
    InputError
        For a table that cannot be used.
    """
    from tornado.ioloop import PeriodicCallback

    table = _read_cluster(path)
    jobs = _job_count(table)
    with _batch_cluster(table) as cluster:
        cluster.scale(jobs=jobs)
        seen: dict[str, float] = {}
        renewal = PeriodicCallback(lambda: _renew(cluster, jobs, seen), LOST / 4 * 1000)
        cluster.loop.add_callback(renewal.start)
        try:
            yield cluster
        finally:
            cluster.loop.add_callback(renewal.stop)


def batch_workers(path: str) -> int:
    """Workers that will be there once all jobs have started."""
    table = _read_cluster(path)
    return _job_count(table) * int(table.get("processes", 1))


def job_script(path: str) -> str:
    """The script that the batch system would be given for one job."""
    with _batch_cluster(_read_cluster(path)) as cluster:
        return str(cluster.job_script())


def _renew(cluster: Any, jobs: int, seen: dict[str, float]) -> None:
    """Note when each job was last `seen` with a worker, and submit another for each that has lost them all."""
    now = time.monotonic()
    names = {str(worker["name"]) for worker in cluster.scheduler_info["workers"].values()}
    for job, specification in cluster.worker_spec.items():
        if any(f"{job}{process}" in names for process in specification.get("group", ("",))):
            seen[job] = now
        elif now - seen.get(job, now) > LOST and job in cluster.workers:
            del seen[job]
            cluster.loop.add_callback(cluster.workers.pop(job).close)
    cluster.scale(jobs=jobs)


def _job_count(table: Mapping[str, Any]) -> int:
    return int(table.get("jobs", 1))


def _read_cluster(path: str) -> Mapping[str, Any]:
    try:
        with Path(path).open("rb") as file:
            found = tomllib.load(file).get("cluster")
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} has no table [cluster]")
    return found


def _batch_cluster(table: Mapping[str, Any]) -> Any:
    try:
        import dask_jobqueue
    except ModuleNotFoundError:
        raise InputError("batch systems need dask-jobqueue: pip install clew[cluster]") from None
    options = {name: value for name, value in table.items() if name not in ("system", "jobs")}
    exports = [f"export DASK_{name.upper().replace('.', '__')}=False" for name in NEVER]
    options["job_script_prologue"] = [*options.get("job_script_prologue", []), *exports]
    system = str(table.get("system", "")).lower()
    if system not in SYSTEMS:
        raise InputError(f"[cluster] needs a system, one of {', '.join(SYSTEMS)}, not {system!r}")
    try:
        return getattr(dask_jobqueue, SYSTEMS[system])(**options)
    except (TypeError, ValueError) as error:
        raise InputError(f"[cluster]: {error}") from error
