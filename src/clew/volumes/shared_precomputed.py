"""Precomputed segmentations that many processes write at once, shard by shard.

They open as a volume only when they are finished: until then there is no file `info`.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
import tensorstore
from numpy.typing import NDArray

from clew.errors import InputError
from clew.space import Box, Lengths, Triple, triple
from clew.volumes.formats.ome_zarr import WRITE_RETRIES
from clew.volumes.formats.precomputed import shard_name
from clew.volumes.location import (
    context,
    has_object,
    is_remote,
    join,
    kvstore_spec,
    read_json,
    remove_bytes,
    remove_whole,
    write_bytes,
)
from clew.volumes.pyramid import Scale, coarser_scales

CHUNK = 64
"""Voxels of a chunk along each axis."""
CHUNK_BITS = 6
"""A shard holds 2 to the power of this many chunks, at most: 256³ voxels, what one task has in memory."""
INFO = "info"
EMPTY_SHARD = bytes(16)
"""A shard whose only minishard holds no chunk: all its voxels are 0."""
ROUNDED = 1e-3
"""Part of a voxel by which an offset may differ from a whole number of voxels."""


@dataclass(frozen=True)
class PrecomputedScale:
    """One scale of a precomputed volume.

    Parameters
    ----------
    shape : (z, y, x) ints
        In voxels.
    voxel_size : (z, y, x) floats
        In nm.
    first : (z, y, x) ints
        The first voxel, counted from the origin in voxels of this scale.
    factors : (z, y, x) ints
        Voxels of the next finer scale that become one.
    """

    shape: Triple
    voxel_size: Lengths
    first: Triple
    factors: Triple = (1, 1, 1)

    @property
    def key(self) -> str:
        """Name of its folder: the voxel size (x, y, z) in nm, as others name it."""
        return "_".join(f"{size:g}" for size in self.voxel_size[::-1])

    @property
    def grid(self) -> Triple:
        """Chunks along z, y, x."""
        return triple(-(-length // CHUNK) for length in self.shape)

    @property
    def shard_shape(self) -> Triple:
        """Voxels (z, y, x) of a shard.

        It holds the chunks whose Morton codes differ in the last bits only.
        """
        bits, left = [0, 0, 0], CHUNK_BITS
        for bit in range(max(self.grid).bit_length()):
            for axis in (2, 1, 0):
                if 1 << bit < self.grid[axis] and left:
                    bits[axis] += 1
                    left -= 1
        return triple(CHUNK << count for count in bits)

    @property
    def sharding(self) -> dict[str, Any]:
        """How chunks are found in shards, as in `info`."""
        code = sum((count - 1).bit_length() for count in self.grid)
        inner = min(code, CHUNK_BITS)
        return {
            "@type": "neuroglancer_uint64_sharded_v1", "hash": "identity", "preshift_bits": inner, "minishard_bits": 0,
            "shard_bits": code - inner, "minishard_index_encoding": "gzip", "data_encoding": "gzip",
        }  # fmt: skip

    def shard_of(self, chunk: Triple) -> str:
        """Name of the shard's file that holds the chunk at a place (z, y, x) of the grid."""
        return shard_name(chunk[::-1], self.grid[::-1], self.sharding)

    @property
    def document(self) -> dict[str, Any]:
        """What `info` says of it; lists are (x, y, z) there."""
        return {
            "key": self.key, "size": list(self.shape[::-1]), "resolution": list(self.voxel_size[::-1]),
            "voxel_offset": list(self.first[::-1]), "chunk_sizes": [[CHUNK] * 3], "encoding": "compressed_segmentation",
            "compressed_segmentation_block_size": [8, 8, 8], "sharding": self.sharding,
        }  # fmt: skip


def precomputed_scales(shape: Triple, voxel_size: Lengths, offset: Lengths, source: str) -> list[PrecomputedScale]:
    """All scales of a volume, finest first.

    Voxels of all scales begin at whole numbers of themselves from the origin, as `info` wants it: where the first voxel of a
    volume is the second half of a coarser one, this one reaches beyond the volume.

    Parameters
    ----------
    shape : (z, y, x) ints
    voxel_size, offset : (z, y, x) floats
        In nm.
    source : str
        For messages.

    Raises
    ------
    InputError
        Where the offset is not a whole number of voxels.
    """
    first = [start / size for start, size in zip(offset, voxel_size, strict=True)]
    whole = triple(round(at) for at in first)
    if any(abs(at - near) > ROUNDED for at, near in zip(first, whole, strict=True)):
        near = ",".join(f"{at * size:g}" for at, size in zip(whole, voxel_size, strict=True))
        raise InputError(
            f"{source} begins {first[0]:g}, {first[1]:g}, {first[2]:g} voxels (z, y, x) from the origin, and precomputed knows "
            f"whole voxels only: give the nearest, --offset={near}"
        )
    scales = [PrecomputedScale(shape, voxel_size, whole)]
    for coarser in coarser_scales(Scale(shape, voxel_size, offset)):
        scales.append(_next(scales[-1], coarser.factors))
    return scales


def _next(finer: PrecomputedScale, factors: Triple) -> PrecomputedScale:
    first = triple(start // by for start, by in zip(finer.first, factors, strict=True))
    ends = (start + length for start, length in zip(finer.first, finer.shape, strict=True))
    shape = triple(-(-end // by) - low for end, by, low in zip(ends, factors, first, strict=True))
    return PrecomputedScale(
        shape, triple(a * b for a, b in zip(finer.voxel_size, factors, strict=True)), first, factors
    )


class SharedPrecomputed:
    """One scale of a precomputed segmentation in the making; it can be pickled.

    Parameters
    ----------
    path : str
        Folder of the volume, local or in object storage.
    scale : PrecomputedScale
    """

    def __init__(self, path: str, scale: PrecomputedScale) -> None:
        self.path, self.scale = path, scale
        self._store: Any = None

    @property
    def folder(self) -> str:
        """Folder of the shards."""
        return join(self.path, self.scale.key)

    @property
    def exists(self) -> bool:
        """Whether there is anything in its place."""
        if not is_remote(self.path):
            return os.path.lexists(self.path)
        return has_object(self.path, INFO) or has_object(self.folder, self._name((0, 0, 0)))

    def create(self) -> None:
        """Nothing has to be there before the first shard."""

    def remove(self) -> None:
        """Remove the whole volume, first that by which it is opened."""
        remove_bytes(self.path, INFO)
        remove_whole(self.path)

    def block(self, place: Sequence[int]) -> Box:
        """The voxels (z, y, x) of the shard of this number along z, y and x."""
        return Box.tile(place, self.scale.shard_shape).overlap(Box.whole(self.scale.shape))

    def __getitem__(self, box: Box) -> NDArray[np.uint64]:
        for place in self._shards(box):
            if not has_object(self.folder, name := self._name(place)):  # tensorstore would read it as zeros
                raise FileNotFoundError(f"NOT_FOUND: {join(self.folder, name)} is missing")
        values: NDArray[np.uint64] = self._opened()[(*box[::-1], 0)].read().result()
        return np.ascontiguousarray(values.T)

    def __setitem__(self, box: Box, values: NDArray[np.uint64]) -> None:
        (place,) = self._shards(box)
        with tensorstore.Transaction() as whole:
            self._opened().with_transaction(whole)[(*box[::-1], 0)].write(values.T).result()
        if not has_object(self.folder, name := self._name(place)):  # chunks of zeros are not stored
            write_bytes(self.folder, name, EMPTY_SHARD)

    def discard(self, box: Box) -> None:
        """Remove the stored shards that a box touches."""
        for place in self._shards(box):
            remove_bytes(self.folder, self._name(place))

    def names(self) -> list[str]:
        """Names of the files of all shards."""
        return [self._name(place) for place in self._shards(Box.whole(self.scale.shape))]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_store": None}

    def _shards(self, box: Box) -> list[Triple]:
        ranges = (
            range(a.start // size, -(-a.stop // size)) for a, size in zip(box, self.scale.shard_shape, strict=True)
        )
        return [triple(place) for place in product(*ranges)]

    def _name(self, place: Triple) -> str:
        return self.scale.shard_of(
            triple(at * size // CHUNK for at, size in zip(place, self.scale.shard_shape, strict=True))
        )

    def _opened(self) -> Any:
        if self._store is None:
            scale = self.scale.document
            scale["chunk_size"] = scale.pop("chunk_sizes")[0]
            spec = {
                "driver": "neuroglancer_precomputed", "kvstore": kvstore_spec(self.path),
                "multiscale_metadata": {"type": "segmentation", "data_type": "uint64", "num_channels": 1},
                "scale_metadata": scale, "open": True, "create": True, "assume_metadata": True,
            }  # fmt: skip
            store = tensorstore.open(spec, context=context(retries=WRITE_RETRIES)).result()
            self._store = store[tensorstore.d[:].translate_to[0]]
        return self._store


def precomputed_info(scales: Sequence[PrecomputedScale], more: Mapping[str, Any]) -> dict[str, Any]:
    """The file `info` of a segmentation.

    Parameters
    ----------
    scales : sequence of PrecomputedScale
        Finest first.
    more : mapping
        Names of folders of properties, meshes and skeletons, and what clew records.
    """
    return {
        "@type": "neuroglancer_multiscale_volume", "type": "segmentation", "data_type": "uint64", "num_channels": 1,
        "scales": [scale.document for scale in scales], **more,
    }  # fmt: skip


def lost_shards(folder: str) -> tuple[int, int]:
    """Count the shards that a scale of a volume lacks, and those it should have."""
    path, _, key = folder.rpartition("/")
    document = read_json(path, INFO) or {}
    found = next(scale for scale in document["scales"] if scale["key"] == key)
    shape, size, first = (triple(found[name][::-1]) for name in ("size", "resolution", "voxel_offset"))
    names = SharedPrecomputed(path, PrecomputedScale(shape, size, first)).names()
    return sum(not has_object(folder, name) for name in names), len(names)


def voxels_of_shards(scales: Sequence[PrecomputedScale]) -> int:
    """Voxels of the largest shard."""
    return max(prod(min(a, b) for a, b in zip(scale.shard_shape, scale.shape, strict=True)) for scale in scales)
