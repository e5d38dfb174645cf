"""`clew relabel-blocks`: another segmentation from the fragments and the merge tree of `segment-blocks`."""

from functools import partial
from math import prod
from pathlib import Path

import numpy as np

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid, even_blocks
from clew.blockwise.ledger import Ledger
from clew.errors import InputError
from clew.segmentation.in_blocks.relabel import relabel_tasks
from clew.segmentation.in_blocks.segment import compile_kernels
from clew.segmentation.options import CutOptions
from clew.stages.block_run import STAGE, BlockRun, absolute
from clew.stages.declaration import Record
from clew.stages.tables import load_merge_tree
from clew.volumes.in_blocks import scale_tasks, shared_scales
from clew.volumes.location import join
from clew.volumes.open import open_volume
from clew.volumes.pyramid import Scale, coarser_scales
from clew.volumes.run_store import FileStore
from clew.volumes.shared import finish_volume

BYTES_A_VOXEL = 40
"""Memory of a worker for each voxel of a block, at most."""


def relabelling_run(blocks: Path, folder: Path, volumes: str | None, cut: CutOptions) -> BlockRun:
    """Open what `segment-blocks` left and lay out the run; nothing is written."""
    blocks, folder = blocks.absolute(), folder.absolute()
    plan = Ledger(blocks).plan()
    if plan.get(STAGE) != "segment-blocks" or not (blocks / "merge_tree.h5").exists():
        raise InputError(f"{blocks} must be the folder of a segment-blocks that is finished")
    path = join(plan.get("volumes") or str(blocks), "fragments.zarr")
    fragments = open_volume(path)
    z, y, x = fragments.shape
    block_shape = tuple(plan.get("block_shape") or even_blocks((z, y, x)))
    grid = Grid(Domain((0, 0, 0), (z, y, x), (z, y, x)), (block_shape[0], block_shape[1], block_shape[2]))
    scales = [Scale((z, y, x), fragments.voxel_size, fragments.offset)]
    scales += coarser_scales(scales[0])
    place = join(str(folder) if volumes is None else absolute(volumes), "segmentation.zarr")
    outputs = shared_scales(place, "segmentation", np.uint64, scales, grid.block_shape)
    store = FileStore(folder / "tables", {"fragments": path}, outputs, fragments.voxel_size, earlier=blocks / "tables")
    tasks = relabel_tasks(grid, cut, score=load_merge_tree(str(blocks / "merge_tree.h5"))[0].score)
    return BlockRun(
        folder, store, tasks + scale_tasks("segmentation", scales, grid.block_shape), (fragments,), z * y * x,
        BYTES_A_VOXEL * prod(grid.block_shape), partial(_finish, store=store), warm_up=compile_kernels,
    )  # fmt: skip


def _finish(record: Record, *, store: FileStore) -> None:
    finish_volume(list(store.outputs.values()), record)
