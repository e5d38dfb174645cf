"""Write OME-Zarr 0.5: a zarr 3 group of the scales `s0`, `s1`, …, each sharded where it has many chunks.

Every chunk carries a checksum: without one, most flipped bytes decompress to wrong voxels and nobody notices.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore

from clew.volumes.chunked import TensorStoreArray
from clew.volumes.location import context, kvstore_spec
from clew.volumes.ome import ome_attributes
from clew.volumes.volume import Layout

SHARD_WHERE_CHUNKS = 512
SHARD_CHUNKS = 4
SHARD_BYTES = 128 << 20
WRITE_RETRIES = 10
"""Of a request to object storage, two seconds apart at most."""


def create_array(
    folder: str | Path, layout: Layout, block_shape: Sequence[int] | None = None
) -> tuple[TensorStoreArray, tuple[int, ...]]:
    """Create the array in a local or remote folder; also returns the unit of writing (the shard, or else the chunk).

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
        },
    }
    store = tensorstore.open(spec, create=True, context=context(retries=WRITE_RETRIES)).result()
    return TensorStoreArray(store), unit


def open_array(folder: str) -> TensorStoreArray:
    """An array made by `create_array`, to read and to write; a chunk that is missing is an error.

    So zeros are stored like all else: a chunk that somebody lost would be read as zeros otherwise.
    """
    stored = {"store_data_equal_to_fill_value": True, "fill_missing_data_reads": False}
    spec = {"driver": "zarr3", "kvstore": kvstore_spec(folder), **stored}
    return TensorStoreArray(tensorstore.open(spec, open=True, context=context(retries=WRITE_RETRIES)).result())


def group_metadata(title: str, scales: Mapping[str, Layout], record: Mapping[str, Any]) -> str:
    """`zarr.json` of the group of one array at some scales, finest first: OME 0.5 and what clew records."""
    places = {name: (layout.voxel_size, layout.offset) for name, layout in scales.items()}
    ome = ome_attributes(title, next(iter(scales.values())).axes, places)
    document = {"zarr_format": 3, "node_type": "group", "attributes": {**ome, "clew": dict(record)}}
    return json.dumps(document, indent=2)


def shard_shape(shape: Sequence[int], chunks: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Shards of up to 4 chunks along z, y and x and all channels, where there are many chunks; else the chunks."""
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
