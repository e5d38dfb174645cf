"""`clew predict-blocks`: what a prediction in blocks reads, does and leaves."""

from functools import partial
from math import prod
from pathlib import Path

import numpy as np
import torch

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid, even_blocks
from clew.network.bundled import bundled_names
from clew.network.in_blocks import prediction_tasks
from clew.network.options import PredictionOptions
from clew.network.prediction import memory_of_tiles, resolve_device
from clew.space import Lengths, Triple
from clew.stages.block_run import BlockRun, absolute
from clew.stages.declaration import Record
from clew.stages.prediction import open_prediction
from clew.volumes.location import join
from clew.volumes.run_store import FileStore
from clew.volumes.shared import SharedVolume, finish_volume


def prediction_run(
    raw: str, folder: Path, volumes: str | None, checkpoint: str, box: str | None, options: PredictionOptions,
    voxel_size: Lengths | None, block_shape: Triple | None, *, here: bool,
) -> BlockRun:  # fmt: skip
    """Open the inputs and lay out the run; nothing is written.

    `here`: workers are processes of this machine, so its GPUs say whether they predict on them.
    """
    raw, folder = absolute(raw), folder.absolute()
    checkpoint = checkpoint if checkpoint in bundled_names() else absolute(checkpoint)
    job = open_prediction(raw, checkpoint, box, voxel_size)
    z, y, x = job.raw.shape
    low, high = (tuple(getattr(part, end) for part in job.box) for end in ("start", "stop"))
    block_shape = block_shape or even_blocks(job.shape)
    grid = Grid(Domain((low[0], low[1], low[2]), (high[0], high[1], high[2]), (z, y, x)), block_shape)
    place = str(folder) if volumes is None else absolute(volumes)
    output = SharedVolume(
        join(place, "affinities.zarr"), (3, *job.shape), np.uint8, voxel_size=job.raw.voxel_size, offset=job.offset,
        block_shape=block_shape,
    )  # fmt: skip
    store = FileStore(
        folder / "tables", {"raw": raw}, {"affinities": output}, job.raw.voxel_size, {"affinities": grid.domain.low}
    )
    tasks = prediction_tasks(grid, checkpoint, options, job.raw.voxel_size)
    needed = memory_of_tiles(
        block_shape, options.tile, device=options.device if here else "cpu", precision=options.precision
    )
    return BlockRun(
        folder, store, tasks, (job.raw,), prod(job.shape), needed,
        partial(_finish, attributes=job.attributes, output=output),
        most_workers=torch.cuda.device_count() if here and resolve_device(options.device) == "cuda" else None,
    )  # fmt: skip


def _finish(record: Record, *, attributes: Record, output: SharedVolume) -> None:
    finish_volume([output], record | attributes)
