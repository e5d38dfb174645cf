"""Copies of volumes in the formats that clew writes."""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.space import Box, Lengths
from clew.stages.declaration import Record
from clew.stages.memory import refuse_too_large
from clew.stages.protection import refuse_overlap
from clew.volumes.open import open_volume
from clew.volumes.save import save_volume


def convert_volume(
    source: str,
    target: str,
    *,
    voxel_size: Lengths | None,
    offset: Lengths | None,
    box: str | None,
    dtype: str,
    overwrite: bool,
    record: Record,
) -> None:
    """Copy a volume, or a box of it; whole volumes are copied block by block."""
    refuse_overlap([source], [target])
    volume = open_volume(source, voxel_size=voxel_size, offset=offset)
    part = Box.parse(box, volume.shape)
    start = [o + s * axis.start for o, s, axis in zip(volume.offset, volume.voxel_size, part, strict=True)]
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
        offset=start,
        attributes=volume.attributes | record,
        overwrite=overwrite,
    )


def to_uint8(image: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """An image with its range of values scaled to 0..255; uint8 stays as it is."""
    if image.dtype == np.uint8:
        return image
    low, high = float(image.min()), float(image.max())
    if not np.isfinite([low, high]).all() or low == high:
        raise InputError(f"{name} cannot be scaled to uint8: its values go from {low} to {high}")
    return np.rint((image.astype(np.float32) - low) * (255 / (high - low))).astype(np.uint8)
