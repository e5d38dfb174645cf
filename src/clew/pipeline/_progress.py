"""What a person sees while a stage works.

One line for each stage, and a bar where there are steps to count.
"""

import functools
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")
FIRST_STEPS, EVERY = (1, 2, 5, 10, 20), 50
"""Steps of a training that are a line where there is no terminal: the first ones, then every so many."""


@contextmanager
def timed(stage: str, voxels: int) -> Iterator[None]:
    """Show a stage's name and, when it ends, its time per megavoxel."""
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    say(f"{stage:<20} {seconds:8.1f} s   {seconds / max(voxels, 1) * 1e6:6.3f} s/megavoxel")


def track(items: Iterable[Item], total: int, description: str) -> Iterator[Item]:
    """Iterate with a progress bar on standard error.

    It shows rate and time left, and is plain where it is no terminal.
    """
    with _progress() as progress:
        yield from progress.track(items, total=total, description=description)


@contextmanager
def counted(total: int, description: str) -> Iterator[Callable[[int], None]]:
    """A progress bar that is told how many are done.

    Without a terminal it is a line at every tenth of them.
    """
    with _progress() as progress:
        bar = progress.add_task(description, total=total)
        shown = 0

        def show(done: int) -> None:
            nonlocal shown
            progress.update(bar, completed=done)
            if progress.disable and 10 * done // total > shown:
                shown = 10 * done // total
                say(f"{description}: {done} of {total}")

        yield show


@contextmanager
def stepping(done: int, total: int) -> Iterator[Callable[[int, float], None]]:
    """A bar of training that is told steps and losses, with rate and time left.

    Without a terminal it is a line now and then.
    """
    from rich.progress import TextColumn

    began = time.perf_counter()
    with _progress(TextColumn("{task.fields[loss]}")) as progress:
        bar = progress.add_task("train", total=total, completed=done, loss="")

        def show(step: int, loss: float) -> None:
            progress.update(bar, completed=step, loss=f"loss {loss:.4f}")
            if progress.disable and (step - done in FIRST_STEPS or step % EVERY == 0):
                pace = (time.perf_counter() - began) / (step - done)
                left = duration(pace * (total - step))
                say(f"step {step} of {total}: loss {loss:.4f}, {pace:.2f} s/step, {left} left")

        yield show


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def say(line: str) -> None:
    """One line for the person, at once."""
    print(line, flush=True)


@functools.cache
def warn(line: str) -> None:
    """One line on standard error about what is strange in an input, only once."""
    print(f"clew: warning: {line}", file=sys.stderr, flush=True)


def _progress(*more: Any) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            if not task.speed:
                return Text("")
            return Text(f"{task.speed:.2g}/s" if task.speed >= 1 else f"{1 / task.speed:.2g} s each")

    bar, done, left = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    columns = (TextColumn("{task.description:<20}"), bar, done, *more, Rate(), left)
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
