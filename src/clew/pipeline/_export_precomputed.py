"""Neuroglancer precomputed: sharded, with coarser scales and segment properties."""

import json
from functools import partial
from math import prod

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.export.in_blocks import load_rows, row_tasks
from clew.export.properties import segment_properties
from clew.pipeline._block_run import BlockWork
from clew.pipeline._declare import Record
from clew.pipeline._export_source import ExportSource
from clew.pipeline._files import handed_on
from clew.volumes.location import join, write_bytes
from clew.volumes.precomputed_blocks import precomputed_tasks, shared_precomputed
from clew.volumes.run_store import FileStore
from clew.volumes.shared_precomputed import (
    INFO,
    PrecomputedScale,
    precomputed_info,
    precomputed_scales,
    voxels_of_shards,
)

BYTES_A_VOXEL = 40
"""Memory of a worker for each voxel of a shard, at most."""
PROPERTIES = "segment_properties"


def lay_out_precomputed(source: ExportSource) -> BlockWork:
    """Lay the run out; nothing is written."""
    scales = precomputed_scales(source.shape, source.voxel_size, source.volume.offset, source.path)
    path = source.target("precomputed")
    outputs = shared_precomputed(path, scales)
    store = FileStore(source.folder / "tables", {"source": source.path}, outputs, source.voxel_size)
    grid = Grid(Domain.whole(source.shape), scales[0].shard_shape)
    tasks = precomputed_tasks(scales) + row_tasks(grid, source.options.minimum_size)
    return BlockWork(
        source.folder, store, tasks, (source.volume,), prod(source.shape), BYTES_A_VOXEL * voxels_of_shards(scales),
        partial(_finish, source=source, store=store, path=path, scales=scales),
    )  # fmt: skip


def _finish(
    record: Record, *, source: ExportSource, store: FileStore, path: str, scales: list[PrecomputedScale]
) -> None:
    """Write the properties, and then `info`, with which the volume can be opened."""
    properties = segment_properties(load_rows(store), source.voxel_size)
    info = precomputed_info(scales, {PROPERTIES: PROPERTIES, "clew": record | handed_on(source.volume)})
    for folder, document in ((join(path, PROPERTIES), properties), (path, info)):
        write_bytes(folder, INFO, json.dumps(document, indent=None if folder != path else 1).encode())
