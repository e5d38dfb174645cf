"""`clew convert`, `clew convert-blocks`: a volume of any format → a copy.

The copy has a format that clew writes.
"""

from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid, even_blocks
from clew.errors import InputError
from clew.pipeline._block_run import BlockWork, absolute, run_in_blocks, volumes_folder
from clew.pipeline._declare import Record, stage
from clew.pipeline._files import open_input, unplaced
from clew.pipeline._memory import refuse_too_large
from clew.pipeline._options import BlockRun, Blocks, GeometryOptions, Input, Output, Volumes
from clew.pipeline._protection import refuse_overlap
from clew.space import Box, Triple, triple
from clew.volumes.in_blocks import copy_tasks, scale_tasks, shared_scales
from clew.volumes.location import join
from clew.volumes.place import offset_of
from clew.volumes.pyramid import Scale, coarser_scales
from clew.volumes.run_store import FileStore
from clew.volumes.save import OWN, save_volume
from clew.volumes.shared import finish_volume
from clew.volumes.volume import PLACED, Volume

BYTES_A_VOXEL = 40
"""Memory of a worker for each voxel of a block, at most."""


@stage
def convert(
    source: Input,
    target: str,
    *,
    geometry: GeometryOptions,
    box: str | None = None,
    dtype: Literal["keep", "uint8"] = "keep",
    output: Output,
    record: Record,
) -> None:
    """Copy a volume to OME-Zarr (.zarr) or HDF5 (file.h5:dataset).

    Whole volumes are copied block by block, parts are read whole.

    Parameters
    ----------
    source
        Volume of any format that clew reads.
    target
        Output.
    box
        Part in voxels, as z0:z1,y0:y1,x0:x1.
    dtype
        `uint8` scales the range of values of an image to 0..255; `keep` copies.
    """
    refuse_overlap([source], [target])
    volume = open_input(source, geometry.voxel_size, geometry.offset)
    part = Box.parse(box, volume.shape)
    if box is not None or dtype != "keep":
        work = "convert" if dtype == "keep" or volume.dtype == np.uint8 else "convert --dtype uint8"
        refuse_too_large(work, source, prod((*volume.shape[:-3], *part.shape)), volume.dtype.itemsize)
    data: Any = volume if box is None and dtype == "keep" else volume.read((..., *part))
    if dtype == "uint8":
        data = to_uint8(data, source)
    save_volume(
        target,
        data,
        voxel_size=volume.voxel_size,
        offset=offset_of(volume, part.low),
        attributes=_kept(volume) | record | unplaced(volume, part),
        overwrite=output.overwrite,
    )


@stage
def convert_blocks(
    source: Input,
    folder: str,
    *,
    geometry: GeometryOptions,
    blocks: Blocks,
    volumes: Volumes,
    block_run: BlockRun,
    record: Record,
) -> None:
    """Copy a volume to OME-Zarr in blocks, with coarser scales for viewers.

    Parameters
    ----------
    source
        Volume (z, y, x) of any format that clew reads: an image (uint8, uint16) or labels.
    folder
        Where volume.zarr and the state of the run are written.
    """
    run_in_blocks(
        lambda: _lay_out(source, Path(folder), volumes.volumes, geometry, blocks.block_shape), record, block_run
    )


def to_uint8(image: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """An image with its range of values scaled to 0..255; uint8 stays as it is."""
    if image.dtype == np.uint8:
        return image
    low, high = float(image.min()), float(image.max())
    if not np.isfinite([low, high]).all() or low == high:
        raise InputError(f"{name} cannot be scaled to uint8: its values go from {low} to {high}")
    return np.rint((image.astype(np.float32) - low) * (255 / (high - low))).astype(np.uint8)


def _lay_out(
    source: str, folder: Path, volumes: str | None, geometry: GeometryOptions, block_shape: Triple | None
) -> BlockWork:
    """Open the input and lay out the run; nothing is written."""
    source, folder = absolute(source), folder.absolute()
    volume = open_input(source, geometry.voxel_size, geometry.offset)
    if volume.ndim != 3 or volume.dtype.kind not in "ub":
        raise InputError(
            "convert-blocks copies volumes (z, y, x) of uint8, uint16, uint32 or uint64, not "
            f"{volume.dtype} of shape {volume.shape}"
        )
    shape = triple(volume.shape)
    scales = [Scale(shape, volume.voxel_size, volume.offset)]
    scales += coarser_scales(scales[0])
    block_shape = block_shape or even_blocks(shape)
    grid = Grid(Domain.whole(shape), block_shape)
    path = join(volumes_folder(folder, volumes), "volume.zarr")
    outputs = shared_scales(path, "volume", volume.dtype, scales, block_shape)
    store = FileStore(folder / "tables", {"source": source}, outputs, volume.voxel_size)
    kept = {name: value for name, value in _kept(volume).items() if name not in (*OWN, "inputs")} | unplaced(volume)
    return BlockWork(
        folder, store, copy_tasks(grid) + scale_tasks("volume", scales, block_shape), (volume,), prod(shape),
        BYTES_A_VOXEL * prod(block_shape), partial(_finish, kept=kept, store=store),
    )  # fmt: skip


def _kept(volume: Volume) -> dict[str, object]:
    """What clew recorded with a volume, but for the word that its place is not known."""
    return {name: value for name, value in volume.attributes.items() if name != PLACED}


def _finish(record: Record, *, kept: dict[str, object], store: FileStore) -> None:
    finish_volume(list(store.outputs.values()), kept | record)
