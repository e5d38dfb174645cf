"""What goes wrong with workers, in messages that say what to do."""

from typing import Any

TOO_LITTLE_MEMORY = (
    "give smaller blocks (--block-shape, with --restart), or more memory for each worker (fewer --workers on a machine, "
    "larger jobs) and clew retry"
)


def workers_died(error: BaseException) -> bool:
    """Tell whether a task failed because all workers that held it died.

    One of the other tasks that they held may be to blame.
    """
    from distributed.scheduler import KilledWorker

    return isinstance(error, KilledWorker)


def error_line(error: BaseException) -> str:
    """An error as the ledger keeps it, in one line.

    It is the same for all tasks that failed in the same way.
    """
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        limit = error.last_worker.memory_limit
        had = f"{limit / 1e9:.2f} GB" if limit else "no limit"
        return f"the workers that tried it died, most likely of too little memory (limit: {had}): {TOO_LITTLE_MEMORY}"
    if isinstance(error, MemoryError):
        return f"a worker had too little memory: {TOO_LITTLE_MEMORY}"
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def why_nothing_moves(client: Any) -> str:
    """What keeps all workers of a Dask client from working; empty where nothing does."""
    address = client.scheduler.address if client.scheduler else "an unknown address"
    silent = f"the scheduler at {address} does not answer: waiting for it"
    if client.status != "running":
        return silent
    try:
        states = {worker["status"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()}
    except OSError:
        return silent
    if not states:
        return f"no worker is left at {address}: waiting for one"
    if states == {"paused"}:
        return f"all workers at {address} are paused by Dask, because their memory is nearly full: start larger ones"
    return ""
