"""Anonymous memory of each kind of task, by the size of the volume: `python -m benchmarks.task_memory --data FOLDER`.

Affinities are those of `benchmarks.scale`. Every task runs in a process of its own, forked from one that has loaded all
kernels and nothing else. A second process looks at its anonymous pages every 2 ms: pages of files, which the system may take
back, do not count.
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
import select
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from numpy.lib.format import open_memmap

from benchmarks.folder_store import FolderStore
from benchmarks.noted import stage_of
from benchmarks.scale import SHAPES, VOLUMES, check_room, making_tasks
from benchmarks.tissue import Tissue, make_base
from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import Store
from clew.blockwise.tasks import Task, run_pool
from clew.segmentation.in_blocks.segment import segmentation_tasks
from clew.segmentation.options import AgglomerationOptions, CutOptions, SegmentationOptions
from clew.space import Triple

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
    given = _parse(arguments)
    base = make_base(given.data, given.base)
    cut = CutOptions(given.threshold, given.minimum_size)
    options = SegmentationOptions(agglomeration=AgglomerationOptions(floor=given.floor), cut=cut)
    found: dict[int, list[Held]] = {}
    for size in given.sizes:
        found[size] = measure(
            Tissue(base, SHAPES[size]), tuple(given.block_shape), given.workers, options, given.folder
        )
        print(table(found), flush=True)
    if given.json:
        given.json.write_text(json.dumps({size: list(map(dataclasses.asdict, held)) for size, held in found.items()}))
    return found


def measure(
    tissue: Tissue, block_shape: Triple, workers: int, options: SegmentationOptions, parent: Path
) -> list[Held]:
    """Segment a volume, each task in a fresh process; nothing is left in `parent`."""
    grid = Grid(Domain.whole(tissue.shape), block_shape)
    check_room(parent, tissue.shape)
    folder = Path(tempfile.mkdtemp(prefix="clew-memory-", dir=parent))
    try:
        for name, dtype in VOLUMES.items():
            shape = (3, *tissue.shape) if name == "affinities" else tissue.shape
            open_memmap(folder / f"{name}.npy", "w+", dtype, shape)
        store = FolderStore(folder, grid.domain)
        tasks = [_watched(task, folder) for task in segmentation_tasks(grid, options)]
        for work in (making_tasks(grid, tissue), tasks):
            with _fresh_processes(workers) as pool:
                run_pool(work, store, pool, wave=2 * workers)
        return [Held(**json.loads(file.read_text())) for file in folder.glob("*.held")]
    finally:
        shutil.rmtree(folder)


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


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.task_memory", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of pinky40_labels.h5; without, labels are synthetic")
    parser.add_argument(
        "--base", type=int, default=512, help="edge in voxels of the cube that is mirrored (%(default)s)"
    )
    parser.add_argument("--sizes", type=int, nargs="+", choices=SHAPES, default=[64, 256, 1024], help="megavoxels")
    parser.add_argument("--block-shape", type=int, nargs=3, default=(256, 256, 256), metavar=("Z", "Y", "X"))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--floor", type=float, default=0.0, help="of the merge tree")
    parser.add_argument("--minimum-size", type=int, default=0, help="voxels; smaller segments are dust")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="for files while it runs")
    parser.add_argument("--json", type=Path, help="write all figures to this file, too")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
