"""Where the tasks of a run in blocks are done.

Every default of it is written here and nowhere else.
"""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge


@dataclass(frozen=True)
class Workers:
    """Where tasks are done.

    Parameters
    ----------
    workers
        Processes on this machine; 0 for as many as cores and memory allow.
    scheduler
        Address of a running Dask scheduler whose workers to use instead, for example tcp://node7:8786.
    cluster
        TOML file with a table [cluster]: workers are jobs of this batch system (SLURM, LSF, PBS, SGE).
    resource
        Use only workers that have this Dask resource, for example GPU (started with `dask worker --resources GPU=1`).
    """

    workers: Annotated[int, Ge(0)] = 0
    scheduler: str | None = None
    cluster: str | None = None
    resource: str | None = None
