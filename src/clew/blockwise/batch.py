"""Workers that are jobs of a batch system, by a table [cluster] of a TOML file.

A job that ends is followed by another.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clew.documents import brief, expect, read_toml
from clew.errors import InputError

SYSTEMS = {"slurm": "SLURMCluster", "lsf": "LSFCluster", "pbs": "PBSCluster", "sge": "SGECluster"}
WORKER_SETTINGS: dict[str, Any] = {
    **{f"distributed.worker.memory.{what}": False for what in ("target", "spill", "pause")},
    "distributed.worker.http.routes": [],
}
"""Dask's settings for workers that we start. They do nothing when memory gets short: Dask holds nothing of ours that could be put
away, so that a paused worker would wait for ever; at 95 % the nanny kills it. They serve no pages: those ask nobody who he is."""
NO_PAGES = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
"""Options of a scheduler that we start: its web server, which cannot be left out, is empty and seen by this machine only."""
SCRATCH = (
    "export DASK_TEMPORARY_DIRECTORY=$(mktemp -d)",
    "trap 'rm -rf \"$DASK_TEMPORARY_DIRECTORY\"' EXIT TERM",
)
"""Lines of a job script: `private_settings` on another machine."""
TABLE = {
    "jobs": "a count",
    "processes": "a count",
    "cores": "a count",
    "job_script_prologue": "a list of texts",
    "worker_extra_args": "a list of texts",
    "scheduler_options": "an object",
    "shared_temp_directory": "text",
}
"""What the values of a table [cluster] are that we use ourselves; the others are dask-jobqueue's."""
LOST = 60.0
"""Seconds after which a job without a worker has ended, as at its wall time. Its nanny starts a worker that died sooner."""


@contextlib.contextmanager
def batch_jobs(path: str) -> Iterator[Any]:
    """Start a Dask cluster of as many jobs as the table says.

    Jobs that end are submitted again while the block lasts.

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
    """Count the workers that will be there once all jobs have started."""
    table = _read_cluster(path)
    return _job_count(table) * int(table.get("processes", 1))


@contextlib.contextmanager
def private_settings() -> Iterator[None]:
    """Dask's settings for a scheduler that we start.

    It serves no pages, and its files lie in a folder of this user alone.

    Dask puts that folder first on Python's path; its own choice is one for all users of the machine.
    """
    import dask
    import distributed  # noqa: F401  # puts its defaults into dask.config; later they would be lost with our settings

    with (
        tempfile.TemporaryDirectory(prefix="clew-", ignore_cleanup_errors=True) as folder,
        dask.config.set({"distributed.scheduler.http.routes": [], "temporary-directory": folder}),
    ):
        yield


def job_script(path: str) -> str:
    """The script that the batch system gets for one job."""
    with private_settings(), _batch_cluster(_read_cluster(path)) as cluster:
        return str(cluster.job_script())


def _renew(cluster: Any, jobs: int, seen: dict[str, float]) -> None:
    """Submit another job for each that has lost its workers.

    When a job was last `seen` with a worker is noted.
    """
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
    table: Mapping[str, Any] = expect(read_toml(Path(path)), "cluster", "an object", path)
    for name, wanted in TABLE.items():
        expect(table, name, wanted, f"[cluster] in {path}", None)
    return table


@contextlib.contextmanager
def _batch_cluster(table: Mapping[str, Any]) -> Iterator[Any]:
    try:
        import dask_jobqueue
    except ModuleNotFoundError:
        raise InputError("batch systems need dask-jobqueue: pip install 'clew[cluster]'") from None
    options = {name: value for name, value in table.items() if name not in ("system", "jobs")}
    exports = [f"export DASK_{name.upper().replace('.', '__')}={value}" for name, value in WORKER_SETTINGS.items()]
    options["job_script_prologue"] = [*options.get("job_script_prologue", []), *SCRATCH, *exports]
    options["scheduler_options"] = NO_PAGES | options.get("scheduler_options", {})
    options["worker_extra_args"] = [*options.get("worker_extra_args", []), "--no-dashboard"]
    system = str(table.get("system", "")).lower()
    if system not in SYSTEMS:
        raise InputError(f"[cluster] needs a system, one of {', '.join(SYSTEMS)}, not {system!r}")
    with _certificates(options.pop("shared_temp_directory", os.getcwd())) as security:
        try:
            cluster = getattr(dask_jobqueue, SYSTEMS[system])(security=security, **options)
        except Exception as error:  # it does not look at its values: a wrong one ends in whatever comes first
            raise InputError(f"dask-jobqueue cannot use the table [cluster]: {brief(error)}") from error
        with cluster:
            yield cluster


@contextlib.contextmanager
def _certificates(folder: str) -> Iterator[Any]:
    """A key for this run, which goes when the block ends.

    It lies in a hidden folder that jobs see and other users cannot open.
    """
    from distributed.security import Security

    temporary = Security.temporary()
    with tempfile.TemporaryDirectory(prefix=".clew-", dir=os.path.expanduser(folder)) as place:
        key, certificate = f"{place}/key.pem", f"{place}/certificate.pem"
        Path(key).write_text(temporary.tls_worker_key)
        Path(certificate).write_text(temporary.tls_worker_cert)
        roles = ("client", "scheduler", "worker")
        files = {f"tls_{role}_key": key for role in roles} | {f"tls_{role}_cert": certificate for role in roles}
        yield Security(require_encryption=True, tls_ca_file=certificate, **files)
