"""`clew convert`, `clew convert-blocks`: a volume of any format → a copy.

The copy has a format that clew writes.
"""

from functools import partial
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid, even_blocks
from clew.errors import InputError
from clew.grey import Scaling, grey_range, sample_pieces
from clew.pipeline._block_run import BlockWork, absolute, run_in_blocks, volumes_folder
from clew.pipeline._declare import Record, stage
from clew.pipeline._files import open_input, unplaced
from clew.pipeline._memory import refuse_too_large
from clew.pipeline._options import BlockRun, Blocks, GeometryOptions, Input, Output, Sections, Values, Volumes
from clew.pipeline._progress import say
from clew.pipeline._protection import refuse_overlap
from clew.space import Box, Triple, triple
from clew.volumes.affinities import affinity_attributes, recorded_offsets
from clew.volumes.in_blocks import copy_tasks, scale_tasks, shared_scales
from clew.volumes.location import join
from clew.volumes.place import offset_of
from clew.volumes.pyramid import Scale, coarser_scales
from clew.volumes.run_store import FileStore
from clew.volumes.save import OWN, save_volume
from clew.volumes.shared import finish_volume
from clew.volumes.volume import PLACED, Volume

OF_AFFINITIES = ("offsets", "value_range", "polarity")
"""What is recorded with affinities and says nothing of one channel."""
BYTES_A_VOXEL = 40
"""Memory of a worker for each voxel of a block, at most."""
SLAB_BYTES = 256 << 20
"""Bytes of sections that are looked at together, to decode chunks once."""


@stage
def convert(
    source: Input,
    target: str,
    *,
    geometry: GeometryOptions,
    sections: Sections,
    box: str | None = None,
    channel: Annotated[int, Ge(0)] | None = None,
    values: Values,
    mask: Literal["annotated"] | None = None,
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
    channel
        Number of the channel of a volume (c, z, y, x) to copy as (z, y, x), counted from 0.
    mask
        `annotated` writes the mask of labels of which only some sections are annotated: 1 in sections with labels, else 0.
    """
    refuse_overlap([source], [target])
    volume = open_input(sections.address(source), geometry.voxel_size, geometry.offset)
    part = Box.parse(box, volume.shape)
    scaling = _scaling(volume, values)
    changed = (scaling.range, scaling.fill) != (None, None)
    read_whole = box is not None or changed or channel is not None
    if read_whole:
        work = "convert --dtype uint8" if changed else "convert"
        refuse_too_large(work, source, prod((*volume.shape[:-3], *part.shape)), volume.dtype.itemsize)
    channels = ... if channel is None else _channel(channel, volume)
    data: Any = scaling(volume.read((channels, *part))) if read_whole else volume
    if mask is not None:
        data = annotated_mask(data, source)
    save_volume(
        target,
        data,
        voxel_size=volume.voxel_size,
        offset=offset_of(volume, part.low),
        attributes=_kept(volume, data.dtype, channel) | record | unplaced(volume, part) | _recorded(scaling),
        overwrite=output.overwrite,
    )


@stage
def convert_blocks(
    source: Input,
    folder: str,
    *,
    geometry: GeometryOptions,
    sections: Sections,
    values: Values,
    blocks: Blocks,
    volumes: Volumes,
    block_run: BlockRun,
    record: Record,
) -> None:
    """Copy a volume to OME-Zarr in blocks, with coarser scales for viewers.

    Parameters
    ----------
    source
        Volume (z, y, x) of any format that clew reads: an image (uint8, uint16; any type with `--dtype uint8`) or labels.
    folder
        Where volume.zarr and the state of the run are written.
    """
    run_in_blocks(
        lambda: _lay_out(sections.address(source), Path(folder), volumes.volumes, geometry, values, blocks.block_shape),
        record,
        block_run,
    )


def _scaling(volume: Volume, values: Values) -> Scaling:
    """How the values of a volume are changed; the range is said."""
    if values.dtype == "keep" and values.range is not None:
        raise InputError("--range says which values become 0 and 255: give --dtype uint8, too")
    if values.range is not None and values.range[0] == values.range[1]:
        raise InputError(f"--range must be two values, which become 0 and 255, not twice {values.range[0]:g}")
    if values.fill is not None and not abs(values.fill) <= float(np.finfo(np.float32).max):
        raise InputError(f"--fill must be a number that the output can hold, not {values.fill:g}")
    found = values.range
    if values.dtype == "uint8" and found is None and volume.dtype != np.uint8:
        found = grey_range(volume, volume.source)
    if found is not None:
        say(f"grey values {found[0]:g} to {found[1]:g} of {volume.source} become 0 to 255")
    scaling = Scaling(found, values.fill, volume.source)
    if found is not None and values.fill is None and volume.dtype.kind == "f":
        for piece in sample_pieces(volume):  # so that a long run does not fail at its end
            scaling(piece)
    return scaling


def _recorded(scaling: Scaling) -> dict[str, object]:
    """What is recorded of how values were scaled."""
    return {} if scaling.range is None else {"grey_range": list(scaling.range)}


def annotated_mask(labels: Volume | NDArray[Any], name: str) -> NDArray[np.uint8]:
    """The mask of labels of which only some sections are annotated.

    Parameters
    ----------
    labels : (z, y, x) integers
        0 = not labelled.
    name : str
        For messages.

    Returns
    -------
    (z, y, x) uint8
        1 in all sections that hold a label, 0 in those in which nobody looked.
    """
    if len(labels.shape) != 3 or labels.dtype.kind not in "bui":
        raise InputError(f"{name} must be labels (z, y, x), whole numbers, not {labels.dtype} of shape {labels.shape}")
    step = max(1, min(64, SLAB_BYTES // (prod(labels.shape[1:]) * labels.dtype.itemsize)))
    slabs = (labels[z : z + step] for z in range(0, labels.shape[0], step))
    annotated = np.concatenate([slab.reshape(len(slab), -1).any(axis=1) for slab in slabs])
    say(f"{int(annotated.sum())} of {len(annotated)} sections hold labels")
    return np.broadcast_to(annotated.astype(np.uint8)[:, None, None], labels.shape)


def _lay_out(
    source: str,
    folder: Path,
    volumes: str | None,
    geometry: GeometryOptions,
    values: Values,
    block_shape: Triple | None,
) -> BlockWork:
    """Open the input and lay out the run; nothing is written."""
    source, folder = absolute(source), folder.absolute()
    volume = open_input(source, geometry.voxel_size, geometry.offset)
    dtype = volume.dtype if values.dtype == "keep" else np.dtype(np.uint8)
    if volume.ndim != 3 or dtype.kind not in "ub":
        raise InputError(
            "convert-blocks copies volumes (z, y, x) of uint8, uint16, uint32 or uint64, and of other types to uint8 "
            f"(--dtype uint8), not {volume.dtype} of shape {volume.shape}"
        )
    scaling = _scaling(volume, values)
    shape = triple(volume.shape)
    scales = [Scale(shape, volume.voxel_size, volume.offset)]
    scales += coarser_scales(scales[0])
    block_shape = block_shape or even_blocks(shape)
    grid = Grid(Domain.whole(shape), block_shape)
    path = join(volumes_folder(folder, volumes), "volume.zarr")
    outputs = shared_scales(path, "volume", dtype, scales, block_shape)
    store = FileStore(folder / "tables", {"source": source}, outputs, volume.voxel_size)
    kept = {name: value for name, value in _kept(volume, dtype).items() if name not in (*OWN, "inputs")}
    kept |= unplaced(volume) | _recorded(scaling)
    return BlockWork(
        folder, store, copy_tasks(grid, scaling) + scale_tasks("volume", scales, block_shape), (volume,), prod(shape),
        BYTES_A_VOXEL * prod(block_shape), partial(_finish, kept=kept, store=store),
    )  # fmt: skip


def _channel(channel: int, volume: Volume) -> int:
    if volume.ndim != 4 or channel >= volume.shape[0]:
        raise InputError(
            f"{volume.source} has no channel {channel}: its axes are {volume.axes}, its shape {volume.shape}"
        )
    return channel


def _kept(volume: Volume, dtype: np.dtype, channel: int | None = None) -> dict[str, object]:
    """What is recorded with a volume and holds for a copy of it.

    That its place is not known is left out, and what affinities are is left out for one channel of them.
    """
    kept = {name: value for name, value in volume.attributes.items() if name != PLACED}
    if channel is not None:
        return {name: value for name, value in kept.items() if name not in OF_AFFINITIES}
    offsets = recorded_offsets(volume) if volume.axes == "czyx" else None
    return kept | ({} if offsets is None else affinity_attributes(offsets, dtype))


def _finish(record: Record, *, kept: dict[str, object], store: FileStore) -> None:
    finish_volume(list(store.outputs.values()), kept | record)
