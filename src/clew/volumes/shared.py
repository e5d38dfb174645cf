"""OME-Zarr that many processes write at once, block by block.

It opens as a volume only when it is finished.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from clew.errors import InputError
from clew.replace import written_beside
from clew.space import Box, Lengths
from clew.volumes.formats.chunked import TensorStoreArray
from clew.volumes.formats.ome_zarr import create_array, group_metadata, lost_chunks, open_array
from clew.volumes.location import is_remote, join, read_bytes, read_json, remove_bytes, remove_whole, write_bytes
from clew.volumes.save import record_of
from clew.volumes.shared_precomputed import INFO, lost_shards
from clew.volumes.volume import Layout, first_line

METADATA = "zarr.json"
LARGEST_CHUNK = 64
SMALLEST_PART = 16


class SharedVolume:
    """One scale of an OME-Zarr volume in the making; it can be pickled.

    Parameters
    ----------
    path : str
        Folder `name.zarr`, local or in object storage.
    shape : tuple of int
        Voxels (z, y, x) or (c, z, y, x).
    dtype : dtype
        Of the voxels.
    voxel_size, offset : (z, y, x) floats
        In nm.
    block_shape : (z, y, x) ints
        Blocks that begin at multiples of this are written by one process each; they are whole chunks.
    scale : int
        Index of the scale, 0 for the finest.

    Raises
    ------
    InputError
        For blocks that cannot be cut into chunks.
    """

    def __init__(
        self,
        path: str,
        shape: Sequence[int],
        dtype: Any,
        *,
        voxel_size: Lengths,
        offset: Lengths,
        block_shape: Sequence[int],
        scale: int = 0,
    ) -> None:
        self.path = path
        self.name = f"s{scale}"
        channels = tuple(shape[:-3])
        chunks = tuple(_chunk(block, length) for block, length in zip(block_shape, shape[-3:], strict=True))
        axes = "czyx"[-len(shape) :]
        self.layout = Layout(tuple(shape), np.dtype(dtype), axes, voxel_size, offset, (1,) * len(channels) + chunks)
        self._block_shape = channels + tuple(block_shape)
        self._array: TensorStoreArray | None = None

    @property
    def exists(self) -> bool:
        """Whether the array has been made."""
        return read_bytes(self.folder, METADATA) is not None

    def create(self) -> None:
        """Make the empty array, or its metadata again where they are missing or damaged.

        Existing chunks stay.
        """
        if self._is_whole():
            return
        if self.exists:
            remove_bytes(self.folder, METADATA)
        create_array(self.folder, self.layout, self._block_shape)

    def _is_whole(self) -> bool:
        """Whether the metadata say what they should."""
        try:
            array = open_array(self.folder)
        except (ValueError, OSError):
            return False
        chunks = tuple(array.store.chunk_layout.read_chunk.shape)
        return (array.shape, array.dtype, chunks) == (self.layout.shape, self.layout.dtype, self.layout.chunks)

    def remove(self) -> None:
        """Remove the whole volume, first that by which it is opened."""
        remove_bytes(self.path, METADATA)
        remove_whole(self.path)

    def __getitem__(self, selection: tuple[slice, ...]) -> np.ndarray:
        return np.asarray(self._opened()[self._channels + selection])

    def __setitem__(self, selection: tuple[slice, ...], values: np.ndarray) -> None:
        self._opened()[self._channels + selection] = values

    def block(self, place: Sequence[int]) -> Box:
        """The voxels (z, y, x) of the block of this number along z, y and x."""
        return Box.tile(place, self._block_shape[-3:]).overlap(Box.whole(self.layout.shape))

    def discard(self, selection: tuple[slice, ...]) -> None:
        """Remove the stored chunks that a box touches.

        Damaged ones can be written again then.
        """
        self._opened().discard(self._channels + selection)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_array": None}

    @property
    def folder(self) -> str:
        """Folder of the array."""
        return join(self.path, self.name)

    @property
    def _channels(self) -> tuple[slice, ...]:
        return tuple(slice(0, length) for length in self.layout.shape[:-3])

    def _opened(self) -> TensorStoreArray:
        if self._array is None:
            self._array = open_array(self.folder)
        return self._array


class ReversedVolume(SharedVolume):
    """The same, stored in the order x, y, z, as WEBKNOSSOS reads it; no OME-Zarr."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        layout = self.layout
        self.layout = replace(layout, shape=layout.shape[::-1], axes=layout.axes[::-1], chunks=layout.chunks[::-1])
        self._block_shape = self._block_shape[::-1]

    def __getitem__(self, selection: tuple[slice, ...]) -> np.ndarray:
        return np.ascontiguousarray(super().__getitem__(selection[::-1]).T)

    def __setitem__(self, selection: tuple[slice, ...], values: np.ndarray) -> None:
        super().__setitem__(selection[::-1], values.T)

    def block(self, place: Sequence[int]) -> Box:
        return Box.tile(place, self._block_shape[::-1]).overlap(Box.whole(self.layout.shape[::-1]))

    def discard(self, selection: tuple[slice, ...]) -> None:
        super().discard(selection[::-1])


def finish_volume(scales: Sequence[SharedVolume], attributes: Mapping[str, Any]) -> None:
    """Make the scales of a volume, finest first, one volume that others can open.

    One that is finished in this way is left as it is. A record of a run, which has its own time and id, is kept as it is; the
    volumes of a run add their names to its id.
    """
    path = scales[0].path
    record = dict(attributes) if "created" in attributes else record_of(attributes)
    if "id" in record:
        record["id"] = f"{record['id']}-{PurePosixPath(path).stem}"
    layouts = {scale.name: scale.layout for scale in scales}
    document = group_metadata(PurePosixPath(path).stem, layouts, record).encode()
    if read_bytes(path, METADATA) == document:
        return
    if is_remote(path):
        write_bytes(path, METADATA, document)
        return
    with written_beside(Path(path) / METADATA, overwrite=True) as partial:
        partial.write_bytes(document)


def what_is_lost(folder: str) -> str:
    """What an array of a finished volume lacks, as text; "" where nothing.

    Checksums are not looked at.
    """
    path = folder.rpartition("/")[0]
    is_zarr = path.endswith(".zarr")
    metadata, count = (METADATA, lost_chunks) if is_zarr else (INFO, lost_shards)
    try:
        if read_json(path, metadata) is None:
            return f"{path} lacks its {metadata}"
        lost, wanted = count(folder)
    except (ValueError, OSError) as error:
        return f"{folder} cannot be opened: {first_line(error)}"
    return f"{folder} lacks {lost} of its {wanted} files of chunks" if lost else ""


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
