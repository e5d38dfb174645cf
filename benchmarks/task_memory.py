"""Anonymous memory of each kind of task, by the size of the volume: `python -m benchmarks.task_memory --data FOLDER`.

Affinities are those of `benchmarks.scale`. Every task runs in a process of its own, forked from one that has loaded all
kernels and nothing else. A second process looks at its anonymous pages every 2 ms: pages of files, which the system may take
back, do not count.
"""

import dataclasses
import json
import multiprocessing
import os
import select
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from benchmarks.folder_store import FolderStore
from benchmarks.noted import stage_of
from benchmarks.scale import making_tasks
from benchmarks.scale_options import SHAPES, scale_folder, scale_parser, segmentation_options
from benchmarks.tissue import Tissue, make_base
from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import Store
from clew.blockwise.tasks import Task, run_pool
from clew.segmentation.in_blocks.segment import segmentation_tasks
from clew.segmentation.options import SegmentationOptions
from clew.space import Triple, triple

EVERY = 0.002
"""Seconds between two looks at a process."""
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Held:
    """Bytes of anonymous memory that one task held at most, beyond what its process held before."""

    stage: str
    level: int
    anonymous: int


def main(arguments: list[str] | None = None) -> dict[int, list[Held]]:
    """Segment volumes of all the sizes and print what the largest task of each kind held."""
    given = scale_parser("task_memory", __doc__, workers=1).parse_args(arguments)
    base, options, block_shape = (
        make_base(given.data, given.base),
        segmentation_options(given),
        triple(given.block_shape),
    )
    found: dict[int, list[Held]] = {}
    for size in given.sizes:
        found[size] = measure(Tissue(base, SHAPES[size]), block_shape, given.workers, options, given.folder)
        print(table(found), flush=True)
    if given.json:
        given.json.write_text(json.dumps({size: list(map(dataclasses.asdict, held)) for size, held in found.items()}))
    return found


def measure(
    tissue: Tissue, block_shape: Triple, workers: int, options: SegmentationOptions, parent: Path
) -> list[Held]:
    """Segment a volume, each task in a fresh process; nothing is left in `parent`."""
    grid = Grid(Domain.whole(tissue.shape), block_shape)
    with scale_folder(parent, grid) as folder:
        store = FolderStore(folder, grid.domain)
        tasks = [_watched(task, folder) for task in segmentation_tasks(grid, options)]
        for work in (making_tasks(grid, tissue), tasks):
            with _fresh_processes(workers) as pool:
                run_pool(work, store, pool, wave=2 * workers)
        return [Held(**json.loads(file.read_text())) for file in folder.glob("*.held")]


def table(found: dict[int, list[Held]]) -> str:
    """The largest task of each kind, in megabytes, as Markdown."""
    kinds = sorted(
        {(held.level, held.stage) for every in found.values() for held in every}, key=lambda kind: kind[::-1]
    )
    lines = [f"| MB | {' | '.join(f'{size} MVox' for size in found)} |", f"|---|{'---:|' * len(found)}"]
    for level, stage in kinds:
        cells = (
            _largest(held for held in every if (held.level, held.stage) == (level, stage)) for every in found.values()
        )
        lines.append(f"| {stage}{f', level {level}' if level else ''} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _largest(held: Iterator[Held]) -> str:
    sizes = [each.anonymous for each in held]
    return f"{max(sizes) / 1e6:.1f}" if sizes else ""


@contextmanager
def _fresh_processes(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool in which every task gets a process of its own, with all kernels loaded."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.warm"])
    with ProcessPoolExecutor(workers, context, max_tasks_per_child=1) as pool:
        yield pool


def _watched(task: Task, folder: Path) -> Task:
    return dataclasses.replace(task, work=partial(_run, task=task, folder=folder))


def _run(store: Store, *, task: Task, folder: Path) -> None:
    stage, level = stage_of(task.writes[0])
    with watched_memory() as most:
        task.work(store)
    name = "-".join(map(str, task.writes[0]))
    (folder / f"{name}.held").write_text(json.dumps(dataclasses.asdict(Held(stage, level, most[0]))))


@contextmanager
def watched_memory() -> Iterator[list[int]]:
    """The most anonymous bytes that this process takes beyond those at the start; known at the end."""
    own, before = os.getpid(), anonymous_bytes(os.getpid())
    (stopped, stop), (reader, writer) = os.pipe(), os.pipe()
    watcher = os.fork()
    if not watcher:
        os.close(stop)
        _watch(own, stopped, writer)
    os.close(stopped)
    os.close(writer)
    most: list[int] = []
    try:
        yield most
    finally:
        os.close(stop)
        with os.fdopen(reader) as pipe:
            most.append(int(pipe.read()) - before)
        os.waitpid(watcher, 0)


def _watch(process: int, stopped: int, writer: int) -> NoReturn:
    """Look at a process until the other end of a pipe is closed, and write down the most that was seen."""
    most = anonymous_bytes(process)
    while not select.select([stopped], [], [], EVERY)[0]:
        most = max(most, anonymous_bytes(process))
    os.write(writer, str(most).encode())
    os._exit(0)


def anonymous_bytes(process: int) -> int:
    """Anonymous memory of a process: resident, but neither of files nor shared."""
    _, resident, shared, *_ = Path(f"/proc/{process}/statm").read_text().split()
    return (int(resident) - int(shared)) * PAGE


if __name__ == "__main__":
    main()
