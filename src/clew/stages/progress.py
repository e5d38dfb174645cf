"""What a person sees while a stage works: one line a stage, a bar where there are steps to count."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


stage_times: list[tuple[str, float, int]] = []
"""Stages finished in this process, in order: name, wall seconds, voxels. The report of `clew demo` is made from it."""


@contextmanager
def timed(stage: str, voxels: int) -> Iterator[None]:
    """Show a stage's name and, when it ends, its time per megavoxel."""
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    stage_times.append((stage, seconds, voxels))
    say(f"{stage:<20} {seconds:8.1f} s   {seconds / voxels * 1e6:6.3f} s/megavoxel")


def track(items: Iterable[Item], total: int, description: str) -> Iterator[Item]:
    """Iterate with a progress bar with rate and time left on standard error; plain where it is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield from progress.track(items, total=total, description=description)


def say(line: str) -> None:
    """One line for the person, at once."""
    print(line, flush=True)
