"""OME-Zarr that many processes write at once, block by block; it opens as a volume only when it is finished."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clew.errors import InputError
from clew.volumes.chunked import TensorStoreArray
from clew.volumes.geometry import Triple
from clew.volumes.ome_zarr import create_array, group_metadata, open_array
from clew.volumes.save import record_of
from clew.volumes.volume import Layout

LARGEST_CHUNK = 64
SMALLEST_PART = 16


class SharedVolume:
    """An OME-Zarr volume (z, y, x) in the making; can be pickled.

    Parameters
    ----------
    path
        Local folder `name.zarr`.
    shape
        Voxels.
    dtype
        Of the voxels.
    voxel_size, offset
        (z, y, x) in nm.
    block_shape
        Blocks that begin at multiples of this are written by one process each; they are whole chunks.

    Raises
    ------
    InputError
        For blocks that cannot be cut into chunks.
    """

    def __init__(
        self,
        path: Path,
        shape: Sequence[int],
        dtype: Any,
        *,
        voxel_size: Triple,
        offset: Triple,
        block_shape: Sequence[int],
    ) -> None:
        self.path = path
        self.block_shape = tuple(block_shape)
        chunks = tuple(_chunk(block, length) for block, length in zip(block_shape, shape, strict=True))
        self.layout = Layout(tuple(shape), np.dtype(dtype), "zyx", voxel_size, offset, chunks)
        self._array: TensorStoreArray | None = None

    def create(self) -> None:
        """Make the empty array."""
        create_array(self.path / "s0", self.layout, self.block_shape)

    def finish(self, attributes: Mapping[str, Any]) -> None:
        """Make it a volume, with what is to be recorded."""
        document = group_metadata(self.path.stem, "s0", self.layout, record_of(attributes))
        (self.path / "zarr.json").write_text(document)

    def __getitem__(self, selection: tuple[slice, ...]) -> np.ndarray:
        return np.asarray(self._opened()[selection])

    def __setitem__(self, selection: tuple[slice, ...], values: np.ndarray) -> None:
        self._opened()[selection] = values

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_array": None}

    def _opened(self) -> TensorStoreArray:
        if self._array is None:
            self._array = open_array(self.path / "s0")
        return self._array


def _chunk(block: int, length: int) -> int:
    """Chunk along an axis: a whole part of the block."""
    if block >= length or block <= LARGEST_CHUNK:
        return min(block, length, LARGEST_CHUNK)
    part = math.gcd(block, LARGEST_CHUNK)
    if part < SMALLEST_PART:
        raise InputError(
            f"the edges of a block must be multiples of {SMALLEST_PART} voxels, or at most 64; not {block}"
        )
    return part
