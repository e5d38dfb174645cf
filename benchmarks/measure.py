"""CPU seconds, peak memory, and the tables that show them."""

import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Job = Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """One measured figure.

    Parameters
    ----------
    job : str
    figure : float or None
        None where it could not be measured; the note says why.
    unit : str
    target : float, optional
        The figure should not be above this.
    note : str
    """

    job: str
    figure: float | None
    unit: str
    target: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """✓ or ✗ where there is a target."""
        if self.target is None or self.figure is None:
            return ""
        return "✓" if self.figure <= self.target else "✗"


@dataclass(frozen=True)
class Table:
    """Rows of one concern."""

    title: str
    rows: Sequence[Row]

    def markdown(self) -> str:
        """The table as Markdown."""
        lines = [f"### {self.title}", "", "| job | figure | unit | target | | note |", "|---|---:|---|---:|---|---|"]
        for row in self.rows:
            figure = "not available" if row.figure is None else _digits(row.figure)
            target = "" if row.target is None else f"≤ {_digits(row.target)}"
            lines.append(f"| {row.job} | {figure} | {row.unit} | {target} | {row.verdict} | {row.note} |")
        return "\n".join(lines) + "\n"


def thread_seconds(jobs: Mapping[str, Job], repeats: int) -> dict[str, float]:
    """Smallest CPU seconds of this thread for each job; the jobs take turns, so that other load meets all alike."""
    return _smallest(jobs, repeats, time.thread_time)


def process_seconds(jobs: Mapping[str, Job], repeats: int) -> dict[str, float]:
    """The same over all threads of the process."""
    return _smallest(jobs, repeats, time.process_time)


def peak_bytes() -> int:
    """Largest resident size of this process so far.

    From /proc where there is one: a child's `ru_maxrss` starts at the size of the process that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _smallest(jobs: Mapping[str, Job], repeats: int, clock: Callable[[], float]) -> dict[str, float]:
    best = dict.fromkeys(jobs, float("inf"))
    for _ in range(repeats):
        for name, job in jobs.items():
            start = clock()
            result = job()
            best[name] = min(best[name], clock() - start)
            del result
    return best


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
