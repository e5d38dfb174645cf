"""Write OME-Zarr 0.5: a zarr 3 group of the scales `s0`, `s1`, …

Each scale is sharded where it has many chunks.

Every chunk carries a checksum: without one, most flipped bytes decompress to wrong voxels and nobody notices. Every chunk is
stored, also one of nothing but zeros, and the array says so: a chunk that somebody lost would be read as zeros otherwise.
"""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore
from numpy.typing import NDArray

from clew.volumes.formats.chunked import ALL_CHUNKS, STRICT, TensorStoreArray, chunk_key
from clew.volumes.formats.ome import ome_attributes
from clew.volumes.location import context, kvstore_spec
from clew.volumes.volume import Layout

SHARD_WHERE_CHUNKS = 512
SHARD_CHUNKS = 4
SHARD_BYTES = 128 << 20
WRITE_RETRIES = 10
"""Retries of a request to object storage, two seconds apart at most."""
TABLE_BYTES, SHARD_ROWS = 256 << 10, 4096
"""Of a chunk of a table, and chunks in a shard of it."""
STORING = {"store_data_equal_to_fill_value": True}
"""Option of tensorstore: chunks of nothing but zeros are stored like all others."""


class NewArray(TensorStoreArray):
    """A new array, which remembers the chunks that were written.

    Parameters
    ----------
    store : tensorstore.TensorStore
    chunks, unit : tuple of int
        Shapes of a chunk and of the unit of writing (the shard, or else the chunk).
    """

    def __init__(self, store: Any, chunks: Sequence[int], unit: tuple[int, ...]):
        super().__init__(store)
        self.unit = unit
        self._chunks = chunks
        self._written = np.zeros([-(-size // chunk) for size, chunk in zip(self.shape, chunks, strict=True)], bool)

    def __setitem__(self, selection: tuple[slice, ...], block: Any) -> None:
        super().__setitem__(selection, block)
        self._written[self._chunks_of(selection)] = True

    def complete(self) -> None:
        """Store the chunks that nobody wrote, as zeros."""
        if self._written.all():
            return
        starts = itertools.product(*(range(0, size, step) for size, step in zip(self.shape, self.unit, strict=True)))
        for start in starts:
            ends = (min(low + step, size) for low, step, size in zip(start, self.unit, self.shape, strict=True))
            box = tuple(map(slice, start, ends))
            if not self._written[self._chunks_of(box)].all():
                self[box] = self[box]

    def _chunks_of(self, box: tuple[slice, ...]) -> tuple[slice, ...]:
        """The chunks that a box touches."""
        edges = zip(box, self._chunks, strict=True)
        return tuple(slice(part.start // chunk, -(-part.stop // chunk)) for part, chunk in edges)


def create_array(folder: str | Path, layout: Layout, block_shape: Sequence[int] | None = None) -> NewArray:
    """Create the array in a local or remote folder.

    It is not sharded where that would make two blocks of the given shape share a shard.
    """
    unit = shard_shape(layout.shape, layout.chunks, layout.dtype.itemsize)
    if block_shape is not None and any(block % shard for block, shard in zip(block_shape, unit, strict=True)):
        unit = layout.chunks
    spec = {
        "driver": "zarr3",
        "kvstore": kvstore_spec(str(folder)),
        "metadata": {
            "shape": list(layout.shape),
            "data_type": layout.dtype.name,
            "fill_value": False if layout.dtype.kind == "b" else 0,
            "dimension_names": list(layout.axes),
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(unit)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "codecs": _codecs(layout.chunks, layout.dtype, sharded=unit != layout.chunks),
            "attributes": {ALL_CHUNKS: True},
        },
        **STORING,
    }
    store = tensorstore.open(spec, create=True, context=context(retries=WRITE_RETRIES)).result()
    return NewArray(store, layout.chunks, unit)


def write_table(folder: str, values: NDArray[Any]) -> None:
    """Write an array of few axes as zarr 3, in place of one that is there.

    Chunks have 256 KiB, shards at most 4096 of them.
    """
    rows = max(1, TABLE_BYTES // max(1, values[:1].nbytes))
    chunk, rest = max(1, min(rows, len(values))), list(values.shape[1:])
    shard = chunk * max(1, min(-(-len(values) // chunk), SHARD_ROWS))
    codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "zstd", "configuration": {"level": 5}}]
    index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
    inner = {"chunk_shape": [chunk, *rest], "codecs": codecs, "index_codecs": index, "index_location": "end"}
    metadata = {
        "shape": list(values.shape), "data_type": values.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [shard, *rest]}},
        "codecs": [{"name": "sharding_indexed", "configuration": inner}],
    }  # fmt: skip
    spec = {"driver": "zarr3", "kvstore": kvstore_spec(folder), "metadata": metadata}
    store = tensorstore.open(spec, create=True, delete_existing=True, context=context(retries=WRITE_RETRIES)).result()
    if values.size:
        store.write(values).result()


def open_array(folder: str) -> TensorStoreArray:
    """Open an array made by `create_array`, to read and to write.

    A chunk that is missing is an error.
    """
    spec = {"driver": "zarr3", "kvstore": kvstore_spec(folder), **STORING, **STRICT}
    return TensorStoreArray(tensorstore.open(spec, open=True, context=context(retries=WRITE_RETRIES)).result())


def lost_chunks(folder: str) -> tuple[int, int]:
    """Count the files of chunks that an array lacks, and those it should have.

    The array was made by `create_array`.
    """
    array = open_array(folder)
    found = {bytes(key).decode() for key in array.store.kvstore.list().result()}
    counts = (range(-(-size // step)) for size, step in zip(array.shape, array.unit_of_writing, strict=True))
    wanted = [chunk_key(place) for place in itertools.product(*counts)]
    return sum(key not in found for key in wanted), len(wanted)


def group_metadata(title: str, scales: Mapping[str, Layout], record: Mapping[str, Any]) -> str:
    """`zarr.json` of the group of one array at some scales, finest first.

    It holds OME 0.5 and what clew records.
    """
    places = {name: (layout.voxel_size, layout.offset) for name, layout in scales.items()}
    finest = next(iter(scales.values()))
    ome = ome_attributes(title, finest.axes, places)
    if finest.dtype.name in ("uint32", "uint64"):
        ome["ome"]["image-label"] = {"version": "0.5"}  # by which napari and others know labels from images
    document = {"zarr_format": 3, "node_type": "group", "attributes": {**ome, "clew": dict(record)}}
    return json.dumps(document, indent=2)


def shard_shape(shape: Sequence[int], chunks: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """The shape of shards: 4 chunks or fewer along z, y and x, and all channels.

    Where there are few chunks, a shard is a chunk.
    """
    counts = [math.ceil(size / chunk) for size, chunk in zip(shape, chunks, strict=True)]
    if math.prod(counts) <= SHARD_WHERE_CHUNKS:
        return tuple(chunks)
    factors = [min(count, SHARD_CHUNKS) for count in counts]
    factors[:-3] = counts[:-3]
    largest = SHARD_BYTES // (math.prod(chunks) * itemsize)
    for axis in range(len(factors)):
        while factors[axis] > 1 and math.prod(factors) > largest:
            factors[axis] -= 1
    return tuple(chunk * factor for chunk, factor in zip(chunks, factors, strict=True))


def _codecs(chunks: Sequence[int], dtype: np.dtype, sharded: bool) -> list[dict[str, Any]]:
    endian: list[dict[str, Any]] = [{"name": "bytes", "configuration": {"endian": "little"}}]
    checksum = {"name": "crc32c"}
    compressor = {
        "cname": "zstd",
        "clevel": 3,
        "shuffle": "shuffle" if dtype.itemsize > 1 else "noshuffle",
        "typesize": dtype.itemsize,
        "blocksize": 0,
    }
    inner = [*endian, {"name": "blosc", "configuration": compressor}, checksum]
    if not sharded:
        return inner
    index = [*endian, checksum]
    configuration = {"chunk_shape": list(chunks), "codecs": inner, "index_codecs": index, "index_location": "end"}
    return [{"name": "sharding_indexed", "configuration": configuration}]
