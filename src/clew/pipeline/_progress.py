"""What a person sees while a stage works.

One line for each stage, and a bar where there are steps to count.
"""

import functools
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")
FIRST_STEPS, EVERY = (1, 2, 5, 10, 20), 50
"""Steps of a training that are a line where there is no terminal: the first ones, then every so many."""
LASTING = 60.0
"""Seconds after which a stage is a line again."""


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
def counted_stages(totals: Mapping[str, int]) -> Iterator[Callable[[Mapping[str, int], Mapping[str, int]], None]]:
    """A progress bar for each stage, told how many tasks are done and begun.

    Each that ends is a line; so is one that lasts, now and then, without a terminal.
    """
    say(f"{sum(totals.values())} tasks in {len(totals)} stage{'s' * (len(totals) > 1)}")
    began: dict[str, float] = {}
    told: dict[str, float] = {}
    with _progress() as progress:
        bars = {stage: progress.add_task(stage, total=total, start=False) for stage, total in totals.items()}

        def show(done: Mapping[str, int], begun: Mapping[str, int]) -> None:
            now = time.monotonic()
            for stage in [stage for stage in bars if done.get(stage) or begun.get(stage)]:
                count, total = done.get(stage, 0), totals[stage]
                if stage not in began:
                    began[stage] = told[stage] = now
                    progress.start_task(bars[stage])
                progress.update(bars[stage], completed=count)
                if count == total:
                    lasted = f"{now - began[stage]:8.1f} s" if begun.get(stage) else "  done before"
                    say(f"{stage:<20} {total:8} task{'s' if total > 1 else ' '} {lasted}")
                    progress.remove_task(bars.pop(stage))
                elif progress.disable and now - told[stage] > LASTING:
                    told[stage] = now
                    say(f"{stage:<20} {count:8} of {total} tasks")

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
