"""`clew segment-blocks`, `clew status` and `clew retry`: a segmentation in blocks, in a folder that says how far it is."""

import os
import time
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clew.blockwise.agglomeration import load_tree
from clew.blockwise.engine import Work, run_by_ledger
from clew.blockwise.executor import Task
from clew.blockwise.files import FileStore
from clew.blockwise.grid import Grid
from clew.blockwise.ledger import Ledger
from clew.blockwise.segment import SegmentationOptions, passed_up, segmentation_tasks
from clew.blockwise.workers import Workers, job_script, started
from clew.errors import InputError
from clew.segmentation.blocks import Domain, Triple
from clew.segmentation.forest_blocks import context_of
from clew.stages.declaration import Record
from clew.stages.files import open_affinities, suggestion
from clew.stages.progress import counted, say, timed
from clew.stages.tables import save_merge_tree
from clew.volumes.open import open_volume
from clew.volumes.shared import SharedVolume
from clew.volumes.volume import Volume

BYTES_A_VOXEL = 60
"""Memory of a worker for each voxel of a block with its context, at most."""
OUTPUTS = {"pieces": np.uint32, "fragments": np.uint64, "segmentation": np.uint64}
UNDECIDING = ("folder", "workers", "scheduler", "cluster", "dry_run", "restart")
"""Options that do not change the result."""
INPUT, TASKS = "input", "tasks"
"""Names in the plan beside those of the options."""
LATEST = 50
"""Finished tasks from which the time left is estimated."""


@dataclass(frozen=True)
class BlockRun:
    """All that a run in blocks is made of."""

    source: Volume
    grid: Grid
    options: SegmentationOptions
    store: FileStore
    tasks: list[Task]


def prepare(
    affinities: str, folder: Path, mask: str | None, options: SegmentationOptions, block_shape: Triple
) -> BlockRun:
    """Open the inputs and lay out store and tasks; nothing is written."""
    options.check()
    affinities, mask, folder = absolute(affinities), mask and absolute(mask), folder.absolute()
    source = open_affinities(affinities)
    z, y, x = source.shape[1:]
    grid = Grid(Domain((0, 0, 0), (z, y, x), (z, y, x)), block_shape)
    inputs = {"affinities": affinities} | ({} if mask is None else {"mask": mask})
    if mask is not None and open_volume(mask, voxel_size=source.voxel_size).shape != (z, y, x):
        raise InputError(f"{mask} must have the shape {(z, y, x)} of {affinities}")
    outputs = {
        name: SharedVolume(
            folder / f"{name}.zarr", (z, y, x), dtype, voxel_size=source.voxel_size, offset=source.offset,
            block_shape=block_shape,
        )
        for name, dtype in OUTPUTS.items()
    }  # fmt: skip
    store = FileStore(folder / "tables", grid.domain, inputs, outputs, source.voxel_size)
    return BlockRun(source, grid, options, store, segmentation_tasks(grid, options, masked=mask is not None))


def run_in_blocks(run: BlockRun, folder: Path, record: Record, workers: Workers, *, restart: bool) -> None:
    """Do what is left to do, finish the volumes, and say what each level passed up."""
    folder = folder.absolute()
    ledger = Ledger(folder)
    parameters = {name: value for name, value in record["parameters"].items() if name not in UNDECIDING}
    plan = (
        parameters
        | run.store.inputs
        | {INPUT: _fingerprint(run.source), TASKS: Counter(task.writes[0][0] for task in run.tasks)}
    )
    with ledger.held():
        ledger.begin(plan, restart=restart)
        ledger.forget_failures()
        for volume in run.store.outputs.values():
            if not (volume.path / "s0" / "zarr.json").exists():
                volume.create()
        work = Work()
        with timed("segment-blocks", int(np.prod(run.grid.domain.frame))):
            if len(ledger.done()) < len(run.tasks):
                work = _work(run, ledger, workers)
        _finish(run, folder, record)
    _report(run, work)


def show_status(folder: Path) -> None:
    """Tasks done, failed and to do of each stage, distinct errors, and the time left."""
    ledger = Ledger(folder)
    stages, left = ledger.plan()[TASKS], 0
    done, failed = ledger.counts()
    say(f"{'stage':<14} {'done':>8} {'failed':>8} {'to do':>8}")
    for stage, total in stages.items():
        to_do = total - done[stage] - failed[stage]
        say(f"{stage:<14} {done[stage]:>8} {failed[stage]:>8} {to_do:>8}")
        left += total - done[stage]
    for failure in ledger.failures():
        say(f"{len(failure.tasks)} × {failure.error} (for example {failure.tasks[0]})")
    rate = _rate(folder)
    if left and rate:
        say(f"{left} tasks left, about {left / rate / 60:.1f} minutes at the latest pace")
    if not left:
        say("finished")
    else:
        say("at work" if ledger.in_use() else "not at work: give the same command again, or clew retry")


def parameters_of(folder: Path) -> dict[str, Any]:
    """The keywords of `segment_blocks` with which a run was begun."""
    kept = {name: value for name, value in Ledger(folder).plan().items() if name not in (INPUT, TASKS)}
    return kept | {"folder": str(folder)}


def read_cluster(path: str | None) -> dict[str, Any] | None:
    """The table [cluster] of a TOML file."""
    if path is None:
        return None
    try:
        with Path(path).open("rb") as file:
            found = tomllib.load(file).get("cluster")
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} has no table [cluster]")
    return found


def say_job(workers: Workers) -> None:
    """Show what would be submitted."""
    if workers.cluster is None:
        raise InputError("--dry-run shows the job script of a cluster: give --cluster FILE.toml")
    say(job_script(workers.cluster))


def absolute(path: str) -> str:
    """The path for workers that have another working folder; addresses stay."""
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))


def _work(run: BlockRun, ledger: Ledger, workers: Workers) -> Work:
    shape = [part.stop - part.start for part in context_of(run.grid.block((0, 0, 0)), run.options.fragments)]
    with started(workers, BYTES_A_VOXEL * int(np.prod(shape))) as pool:
        say(f"dashboard: {pool.dashboard}")
        with counted(len(run.tasks), "tasks") as progress:
            return run_by_ledger(
                run.tasks, run.store, ledger, pool.executor, wave=pool.wave, progress=lambda done, _: progress(done)
            )


def _finish(run: BlockRun, folder: Path, record: Record) -> None:
    """The outputs become volumes and a table that others read."""
    record |= suggestion(run.source.attributes)
    tree = load_tree(run.store, run.options.agglomeration.score)
    save_merge_tree(str(folder / "merge_tree.h5"), tree, dict(record), overwrite=True)
    for name in ("fragments", "segmentation"):
        run.store.outputs[name].finish(record)


def _report(run: BlockRun, work: Work) -> None:
    for level in passed_up(run.grid, run.store)[:-1]:
        say(level.words)
    if work.peaks:
        say(f"{work.tasks} tasks on {len(work.peaks)} workers, of at most {max(work.peaks.values()) / 1e9:.2f} GB each")


def _fingerprint(source: Volume) -> dict[str, Any]:
    """By what an input is known again."""
    return {"shape": source.shape, "dtype": str(source.dtype), "written": source.attributes.get("created")}


def _rate(folder: Path) -> float:
    """Tasks a second, of the latest ones."""
    times = sorted(path.stat().st_mtime for path in (folder / "done").glob("*/*"))[-LATEST:]
    return len(times) / max(time.time() - times[0], 1e-3) if times else 0.0
