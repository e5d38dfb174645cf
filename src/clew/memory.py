"""How much memory there is, and the refusal of what would not fit.

It is limited by the machine, the container and the limits of the process.
"""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

from clew.errors import InputError

GROUPS, OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Where Linux shows the limits of containers and batch jobs, and to which of them this process belongs."""
FILES = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""Of cgroups 2 and 1: limit, memory in use, and the row of memory.stat for the part of it that is given back when needed."""
GIGABYTE = 1e9


def free_memory() -> int:
    """Bytes that this process can still take without swapping."""
    import psutil

    return max(0, min(psutil.virtual_memory().available, *(limit - used for limit, used in _limits())))


def whole_memory() -> int:
    """Bytes of memory that this process could have if it were alone."""
    import psutil

    return min(psutil.virtual_memory().total, *(limit for limit, _ in _limits()))


def refuse_beyond_memory(needed: int, what: str, instead: str) -> None:
    """Refuse, before the work, what needs more memory than is free.

    Parameters
    ----------
    needed : int
        Bytes.
    what : str
        What needs them.
    instead : str
        What the user can do.
    """
    free = free_memory()
    if needed > free:
        raise InputError(
            f"{what} needs about {needed / GIGABYTE:.3g} GB of memory, and {free / GIGABYTE:.3g} GB are free: {instead}"
        )


def _limits() -> Iterator[tuple[int, int]]:
    """Limits that this process lives under, in bytes, and what is used of each."""
    import psutil

    address_space = resource.getrlimit(resource.RLIMIT_AS)[0]
    if address_space != resource.RLIM_INFINITY:
        yield address_space, psutil.Process().memory_info().vms
    with contextlib.suppress(OSError):
        for line in OWN_GROUP.read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            for name in {"", "memory"} & set(controllers.split(",")):
                own = GROUPS / name / place.lstrip("/")
                for group in (own, *own.parents):
                    if group.is_relative_to(GROUPS / name):
                        yield from _limit_of(group, *FILES[name])


def _limit_of(group: Path, limit: str, used: str, reclaimable: str) -> Iterator[tuple[int, int]]:
    """Limit and use of one group.

    Nothing where it has no limit (the word "max") or the file is not there.
    """
    with contextlib.suppress(OSError, ValueError):
        rows = dict(row.split() for row in (group / "memory.stat").read_text().splitlines())
        yield int((group / limit).read_text()), int((group / used).read_text()) - int(rows.get(reclaimable, 0))
