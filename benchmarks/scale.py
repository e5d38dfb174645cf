"""How time and memory grow with the volume: `python -m benchmarks.scale --data FOLDER`.

Affinities are made from the labels of pinky40 (or synthetic ones), mirrored to any size, and segmented in blocks over
processes: fragments, region graph, agglomeration, relabelling. Every task notes its CPU seconds and its peak memory; the
affinities are made before, and kernels are loaded before, neither of which counts.
"""

import dataclasses
import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.folder_store import FolderStore
from benchmarks.measure import Row, Table
from benchmarks.noted import FIRST, STAGES, Note, note_in_core, noted, read_notes, warm_up
from benchmarks.scale_options import SHAPES, scale_folder, scale_parser, segmentation_options
from benchmarks.tissue import Tissue, make_base
from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import Store
from clew.blockwise.tasks import Task, run_pool
from clew.segmentation.in_blocks.segment import Undecided, passed_up, segmentation_tasks
from clew.segmentation.options import SegmentationOptions
from clew.space import Triple, triple


@dataclass(frozen=True)
class Run:
    """One segmentation in blocks.

    Parameters
    ----------
    shape, block_shape : voxels (z, y, x)
    workers : int
    notes : list of Note
    passed : list of Undecided
    whole, in_core : Note or None
        The same in core and in one process, whole and in blocks.
    """

    shape: Triple
    block_shape: Triple
    workers: int
    notes: list[Note]
    passed: list[Undecided]
    whole: Note | None
    in_core: Note | None

    @property
    def megavoxels(self) -> float:
        """Millions of voxels."""
        return float(np.prod(self.shape, dtype=np.int64)) / 1e6

    @property
    def seconds(self) -> float:
        """CPU seconds of all tasks."""
        return sum(note.seconds for note in self.notes)


def main(arguments: list[str] | None = None) -> list[Run]:
    """Segment volumes of all the sizes and print what it cost."""
    parser = scale_parser("scale", __doc__, workers=2)
    parser.add_argument("--whole", type=int, default=64, help="compare with the whole up to so many megavoxels")
    given = parser.parse_args(arguments)
    options, block_shape = segmentation_options(given), triple(given.block_shape)
    base = make_base(given.data, given.base)
    runs: list[Run] = []
    for number, size in enumerate(given.sizes):
        for workers in (1, given.workers) if number == 0 else (given.workers,):
            tissue = Tissue(base, SHAPES[size])
            run = measure(tissue, block_shape, workers, options, given.folder, whole=size <= given.whole)
            runs.append(run)
            print("\n".join(table.markdown() for table in tables(run)), flush=True)
    print(comparison(runs).markdown())
    if given.json:
        given.json.write_text(json.dumps([dataclasses.asdict(run) for run in runs], indent=1) + "\n")
    return runs


def measure(
    tissue: Tissue, block_shape: Triple, workers: int, options: SegmentationOptions, parent: Path, *, whole: bool
) -> Run:
    """Make the affinities, segment them in blocks, and (`whole`) in core to compare; nothing is left in `parent`."""
    grid = Grid(Domain.whole(tissue.shape), block_shape)
    with scale_folder(parent, grid) as folder:
        store = FolderStore(folder, grid.domain)
        with _pool(workers) as pool:
            run_pool(making_tasks(grid, tissue), store, pool, wave=2 * workers)
        with _pool(workers, warm_up, options) as pool:
            run_pool(noted(segmentation_tasks(grid, options), folder), store, pool, wave=2 * workers)
        found: tuple[Note | None, Note | None] = None, None
        if whole:
            with _pool(1) as pool:
                found = pool.submit(note_in_core, folder, grid, options).result()
        return Run(tissue.shape, block_shape, workers, read_notes(folder), passed_up(grid, store), *found)


def _pool(workers: int, *initializer: Any) -> ProcessPoolExecutor:
    start, given = (initializer[0], initializer[1:]) if initializer else (None, ())
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, spawn, initializer=start, initargs=given)


def making_tasks(grid: Grid, tissue: Tissue) -> list[Task]:
    """Tasks that write the affinities of each block."""
    return [Task(partial(_make, grid=grid, place=place, tissue=tissue), (), ()) for place in grid.places()]


def _make(store: Store, *, grid: Grid, place: Triple, tissue: Tissue) -> None:
    box = grid.block(place).owned
    store.write("affinities", box, tissue[box])


def tables(run: Run) -> list[Table]:
    """Cost by stage, and what went up at each level."""
    title = f"{'×'.join(map(str, run.shape))} voxels, blocks of {'×'.join(map(str, run.block_shape))}, {run.workers} workers"
    rows = []
    for stage in dict.fromkeys([*FIRST.values(), *STAGES.values()]):
        notes = [note for note in run.notes if note.stage == stage]
        cost = sum(note.seconds for note in notes) / run.megavoxels
        peak = max((note.peak for note in notes), default=0) / 1e6
        rows.append(Row(stage, cost, "CPU s/megavoxel", note=f"{len(notes)} tasks, peak {peak:.0f} MB"))
    rows.append(Row("all", run.seconds / run.megavoxels, "CPU s/megavoxel"))
    for name, note in (("the whole in core", run.whole), ("blocks in core", run.in_core)):
        if note:
            peak = f"identical; peak {note.peak / 1e6:.0f} MB"
            rows.append(Row(name, note.seconds / run.megavoxels, "CPU s/megavoxel", note=peak))
    return [Table(title, rows), Table("Passed up", [_level_row(run, passed) for passed in run.passed])]


def _level_row(run: Run, passed: Undecided) -> Row:
    peak = max((note.peak for note in run.notes if note.level == passed.level and note.level > 0), default=0)
    note = (
        f"{passed.blocks} blocks, {passed.pairs} pairs of the forest ({passed.forest_bytes / 1e6:.1f} MB), graph"
        f" {passed.graph_bytes / 1e6:.1f} MB, {passed.merges} merges" + (f", peak {peak / 1e6:.0f} MB" if peak else "")
    )
    return Row(f"level {passed.level}", float(passed.edges), "edges", note=note)


def comparison(runs: Sequence[Run]) -> Table:
    """The targets: time for a voxel, memory, workers, and blocks beside the whole."""
    rows = []
    one, *others = runs
    for run in others:
        name = f"{run.megavoxels:.0f} megavoxels, {run.workers} workers"
        cost = run.seconds / run.megavoxels / (one.seconds / one.megavoxels)
        rows.append(
            Row(f"time of a voxel, {name}", cost, "× that of the first run", 1.1 if run.shape == one.shape else 1.15)
        )
        rows.append(
            Row(f"memory of blocks, {name}", _voxel_peak(run) / _voxel_peak(one), "× that of the first run", 1.15)
        )
    for run in runs:
        rows.append(
            Row(f"largest process, {run.megavoxels:.0f} megavoxels", max(n.peak for n in run.notes) / 1e9, "GB", 4)
        )
        if run.whole and run.in_core:
            name = f"beside the whole without files, {run.megavoxels:.0f} megavoxels"
            rows.append(Row(f"blocks {name}", run.in_core.seconds / run.whole.seconds, "× its CPU seconds", 1.3))
            rows.append(Row(f"blocks with files {name}", run.seconds / run.whole.seconds, "× its CPU seconds"))
    return Table("Growth", rows)


def _voxel_peak(run: Run) -> int:
    stages = (*FIRST.values(), STAGES["fragments"], STAGES["segmentation"])
    return max(note.peak for note in run.notes if note.stage in stages)


if __name__ == "__main__":
    main()
