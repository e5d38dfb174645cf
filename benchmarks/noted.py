"""Tasks that note what they cost, and the same work on a whole volume."""

import contextlib
import ctypes
import dataclasses
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.measure import peak_bytes
from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import Key, Store
from clew.blockwise.tasks import Task, run_serial
from clew.segmentation.in_blocks.segment import memory_store, segmentation_tasks
from clew.segmentation.options import SegmentationOptions
from clew.segmentation.segment import segment

STAGES = {
    "forest": "fragments: levels", "face": "fragments: faces", "final": "fragments: names handed down",
    "fragments": "fragments: names",
    "graph": "merges: levels", "tree_fragments": "merge tree", "tree": "constraints of the tree",
    "totals": "lookup: up", "segments": "lookup: down", "dust": "dust: levels",
    "joined": "dust: handed down", "segmentation": "relabel",
}  # fmt: skip
FIRST = {"forest": "fragments: blocks", "graph": "region graph and merges: blocks", "dust": "dust: blocks"}


@dataclass(frozen=True)
class Note:
    """What one task has cost: its stage and level, CPU seconds, wall seconds, largest resident bytes of the process."""

    stage: str
    level: int
    seconds: float
    wall: float
    peak: int


def stage_of(key: Key) -> tuple[str, int]:
    """Stage and level of the task that writes a key first; the last task of the merge tree has no level (0)."""
    name = str(key[0])
    level = int(key[1]) if name in (*FIRST, "tree_fragments") and len(key) > 1 else 0
    return (FIRST if level == 0 and name in FIRST else STAGES)[name], level


def noted(tasks: Sequence[Task], folder: Path) -> list[Task]:
    """The same tasks; each writes a note into the folder when it is done."""
    return [dataclasses.replace(task, work=partial(_run, task=task, folder=folder)) for task in tasks]


def read_notes(folder: Path) -> list[Note]:
    """All notes that tasks have written."""
    lines = [line for file in folder.glob("*.notes") for line in file.read_text().splitlines()]
    return [Note(**json.loads(line)) for line in lines]


def _run(store: Store, *, task: Task, folder: Path) -> None:
    settle_memory()
    cpu, wall = time.process_time(), time.perf_counter()
    task.work(store)
    stage, level = stage_of(task.writes[0])
    note = Note(stage, level, time.process_time() - cpu, time.perf_counter() - wall, peak_bytes())
    with (folder / f"{os.getpid()}.notes").open("a") as file:
        file.write(json.dumps(dataclasses.asdict(note)) + "\n")


def settle_memory() -> None:
    """Give freed memory back (glibc) and let the recorded peak start from here, where the system allows."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def warm_up(options: SegmentationOptions) -> None:
    """Load every kernel, in blocks and whole."""
    affinities = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 12), np.uint8)
    grid = Grid(Domain.whole((12, 12, 12)), (6, 12, 12))
    run_serial(segmentation_tasks(grid, options), memory_store(grid, affinities))
    segment(affinities, options=options)


def segment_blocks(affinities: np.ndarray, grid: Grid, options: SegmentationOptions) -> np.ndarray:
    """The segmentation by the tasks of blocks, one after the other, everything in memory."""
    store = memory_store(grid, affinities)
    run_serial(segmentation_tasks(grid, options), store)
    segmentation: np.ndarray = store.volumes["segmentation"]
    return segmentation


def note_in_core(folder: Path, grid: Grid, options: SegmentationOptions) -> tuple[Note, Note]:
    """Segment the affinities in the folder whole and in blocks, in this process; results are compared with what lies beside."""
    warm_up(options)
    affinities = np.load(folder / "affinities.npy")
    jobs = {
        "whole": lambda: segment(affinities, options=options).segmentation,
        "blocks": partial(segment_blocks, affinities, grid, options),
    }
    whole, blocks = (_note_job(name, job, folder / "segmentation.npy") for name, job in jobs.items())
    return whole, blocks


def _note_job(name: str, job: Callable[[], np.ndarray], expected: Path) -> Note:
    settle_memory()
    cpu, wall = time.process_time(), time.perf_counter()
    segmentation = job()
    note = Note(name, 0, time.process_time() - cpu, time.perf_counter() - wall, peak_bytes())
    for found, plane in zip(segmentation, np.load(expected, mmap_mode="r"), strict=True):
        if not np.array_equal(found, plane):
            raise RuntimeError("the segmentation in blocks is not that of the whole: an error in clew")
    return note
