"""`clew segment-blocks`: what a segmentation in blocks reads, does and leaves."""

from functools import partial
from math import prod
from pathlib import Path

import numpy as np

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid, even_blocks
from clew.errors import InputError
from clew.segmentation.in_blocks.agglomeration import load_tree
from clew.segmentation.in_blocks.forest import context_of
from clew.segmentation.in_blocks.segment import (
    check_segmentation,
    compile_kernels,
    floods,
    passed_up,
    segmentation_tasks,
)
from clew.segmentation.options import SegmentationOptions
from clew.space import Triple
from clew.stages.block_run import BlockRun, absolute
from clew.stages.declaration import Record
from clew.stages.files import open_affinities, suggestion
from clew.stages.progress import say
from clew.stages.tables import save_merge_tree
from clew.volumes.in_blocks import scale_tasks, shared_scales
from clew.volumes.location import join
from clew.volumes.open import open_volume
from clew.volumes.pyramid import Scale, coarser_scales
from clew.volumes.run_store import FileStore
from clew.volumes.shared import SharedVolume, finish_volume
from clew.volumes.volume import Volume

BYTES_A_VOXEL = 60
"""Memory of a worker for each voxel of a block with its context, at most."""
TREE = "merge_tree.h5"
OUTPUTS = {"pieces": np.uint32, "fragments": np.uint64, "segmentation": np.uint64}


def segmentation_run(
    affinities: str, folder: Path, volumes: str | None, mask: str | None, options: SegmentationOptions,
    block_shape: Triple | None,
) -> BlockRun:  # fmt: skip
    """Open the inputs and lay out the run; nothing is written."""
    check_segmentation(options)
    affinities, mask, folder = absolute(affinities), mask and absolute(mask), folder.absolute()
    source = open_affinities(affinities)
    z, y, x = source.shape[1:]
    block_shape = block_shape or even_blocks((z, y, x))
    grid = Grid(Domain((0, 0, 0), (z, y, x), (z, y, x)), block_shape)
    inputs = {"affinities": affinities} | ({} if mask is None else {"mask": mask})
    if mask is not None and open_volume(mask, voxel_size=source.voxel_size).shape != (z, y, x):
        raise InputError(f"{mask} must have the shape {(z, y, x)} of {affinities}")
    finest = Scale((z, y, x), source.voxel_size, source.offset)
    scales = {name: [finest] for name in OUTPUTS}
    scales["segmentation"] += coarser_scales(finest)
    place = str(folder) if volumes is None else absolute(volumes)
    outputs: dict[str, SharedVolume] = {}
    for name, dtype in OUTPUTS.items():
        outputs |= shared_scales(join(place, f"{name}.zarr"), name, dtype, scales[name], block_shape)
    store = FileStore(folder / "tables", inputs, outputs, source.voxel_size)
    tasks = segmentation_tasks(grid, options, masked=mask is not None)
    return BlockRun(
        folder, store, tasks + scale_tasks("segmentation", scales["segmentation"], block_shape), (source,), z * y * x,
        BYTES_A_VOXEL * prod(context_of(grid.block((0, 0, 0)), options.fragments).shape),
        partial(_finish, source=source, folder=folder, store=store, grid=grid, options=options),
        tables=(TREE,), warm_up=compile_kernels,
    )  # fmt: skip


def _finish(
    record: Record, *, source: Volume, folder: Path, store: FileStore, grid: Grid, options: SegmentationOptions
) -> None:
    """The outputs become volumes and a table that others read; said is what each level passed up."""
    record |= suggestion(source.attributes)
    save_merge_tree(str(folder / TREE), load_tree(store, options.agglomeration.score), dict(record), overwrite=True)
    for path in ("fragments", "segmentation"):
        scales = [volume for name, volume in store.outputs.items() if name.partition("-")[0] == path]
        finish_volume(scales, record)
    for level in passed_up(grid, store, forests=not floods(options))[:-1]:
        say(level.words)
    if floods(options):
        say("seeded-flood is approximate at block borders: other blocks give other fragments there")
