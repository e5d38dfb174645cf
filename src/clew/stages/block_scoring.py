"""`clew evaluate-blocks`: what scores of a large segmentation read, do and leave."""

from functools import partial
from math import prod
from pathlib import Path

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid, even_blocks
from clew.blockwise.store import as_record
from clew.evaluation.in_blocks import Border, overlap_tasks
from clew.evaluation.overlap import OverlapTable
from clew.space import Triple
from clew.stages.block_run import BlockRun, absolute
from clew.stages.declaration import Record
from clew.stages.scoring import match_volumes, save_scores, say_scores, score_overlap
from clew.volumes.run_store import FileStore

BYTES_A_VOXEL = 50
"""Memory of a worker for each voxel of a block, at most."""
SCORES = "scores.json"


def scoring_run(
    segmentation: str, truth: str, folder: Path, merge_tree: str | None, thresholds: int, border: float,
    box: str | None, block_shape: Triple | None,
) -> BlockRun:  # fmt: skip
    """Open the inputs and lay out the run; nothing is written."""
    segmentation, truth, folder = absolute(segmentation), absolute(truth), folder.absolute()
    pair = match_volumes(segmentation, truth, box)
    low, high = (tuple(getattr(part, end) for part in pair.there) for end in ("start", "stop"))
    z, y, x = pair.truth.shape
    shape = pair.there.shape
    block_shape = block_shape or even_blocks(shape)
    grid = Grid(Domain((low[0], low[1], low[2]), (high[0], high[1], high[2]), (z, y, x)), block_shape)
    start = (there.start - here.start for there, here in zip(pair.there, pair.here, strict=True))
    begin_z, begin_y, begin_x = start
    inputs, places = {"segmentation": segmentation, "truth": truth}, {"segmentation": (begin_z, begin_y, begin_x)}
    store = FileStore(folder / "tables", inputs, {}, pair.truth.voxel_size, places)
    tasks = overlap_tasks(grid, Border(pair.truth.voxel_size, border) if border else None)
    return BlockRun(
        folder, store, tasks, (pair.segmentation, pair.truth), prod(shape), BYTES_A_VOXEL * prod(block_shape),
        partial(_finish, folder=folder, store=store, merge_tree=merge_tree, thresholds=thresholds),
        tables=(SCORES,),
    )  # fmt: skip


def _finish(record: Record, *, folder: Path, store: FileStore, merge_tree: str | None, thresholds: int) -> None:
    table = as_record(OverlapTable, store.load(("overlap",)))
    curve = score_overlap(table, merge_tree, thresholds)
    say_scores(curve)
    save_scores(curve, folder / SCORES, record)
