"""`clew convert-blocks`: what a copy of a large volume reads, does and leaves."""

from functools import partial
from math import prod
from pathlib import Path

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid, even_blocks
from clew.errors import InputError
from clew.space import Lengths, Triple
from clew.stages.block_run import BlockRun, absolute
from clew.stages.declaration import Record
from clew.volumes.in_blocks import copy_tasks, scale_tasks, shared_scales
from clew.volumes.location import join
from clew.volumes.open import open_volume
from clew.volumes.pyramid import Scale, coarser_scales
from clew.volumes.run_store import FileStore
from clew.volumes.save import OWN
from clew.volumes.shared import finish_volume

BYTES_A_VOXEL = 40
"""Memory of a worker for each voxel of a block, at most."""


def conversion_run(
    source: str, folder: Path, volumes: str | None, voxel_size: Lengths | None, offset: Lengths | None,
    block_shape: Triple | None,
) -> BlockRun:  # fmt: skip
    """Open the input and lay out the run; nothing is written."""
    source, folder = absolute(source), folder.absolute()
    volume = open_volume(source, voxel_size=voxel_size, offset=offset)
    if volume.ndim != 3 or volume.dtype.kind not in "ub":
        raise InputError(
            f"convert-blocks copies (z, y, x) of uint8 to uint64, not {volume.dtype} of shape {volume.shape}"
        )
    z, y, x = volume.shape
    scales = [Scale((z, y, x), volume.voxel_size, volume.offset)]
    scales += coarser_scales(scales[0])
    block_shape = block_shape or even_blocks((z, y, x))
    grid = Grid(Domain((0, 0, 0), (z, y, x), (z, y, x)), block_shape)
    path = join(str(folder) if volumes is None else absolute(volumes), "volume.zarr")
    outputs = shared_scales(path, "volume", volume.dtype, scales, block_shape)
    store = FileStore(folder / "tables", {"source": source}, outputs, volume.voxel_size)
    kept = {name: value for name, value in volume.attributes.items() if name not in (*OWN, "inputs")}
    return BlockRun(
        folder, store, copy_tasks(grid) + scale_tasks("volume", scales, block_shape), (volume,), z * y * x,
        BYTES_A_VOXEL * prod(block_shape), partial(_finish, kept=kept, store=store),
    )  # fmt: skip


def _finish(record: Record, *, kept: dict[str, object], store: FileStore) -> None:
    finish_volume(list(store.outputs.values()), kept | record)
