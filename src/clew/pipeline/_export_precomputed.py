"""Neuroglancer precomputed: sharded, with coarser scales and segment properties."""

import json
from functools import partial
from math import prod

from clew.export.in_blocks import load_rows, row_tasks
from clew.export.properties import segment_properties
from clew.meshes.pieces import bucket_count
from clew.pipeline._block_run import BlockWork
from clew.pipeline._declare import Record
from clew.pipeline._export_segments import FOLDERS, Kind, shape_tasks, shared_shapes, write_info
from clew.pipeline._export_source import ExportSource
from clew.pipeline._export_table import read_names
from clew.pipeline._files import handed_on
from clew.volumes.location import join, write_bytes
from clew.volumes.precomputed_blocks import precomputed_tasks, shard_grid, shared_precomputed
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
    store = FileStore(
        source.folder / "tables", {"source": source.path}, shared_precomputed(path, scales), source.voxel_size
    )
    grid = shard_grid(scales[0])
    tasks = precomputed_tasks(scales) + row_tasks(grid, source.options.minimum_size)
    kinds: list[Kind] = [kind for kind in FOLDERS if getattr(source.options, kind)]  # type: ignore[misc]
    for kind in kinds:
        tasks += shape_tasks(source, kind, "precomputed", grid)
        store.outputs |= shared_shapes(source, kind, path)
    return BlockWork(
        source.folder, store, tasks, (source.volume,), prod(source.shape), BYTES_A_VOXEL * voxels_of_shards(scales),
        partial(_finish, source=source, store=store, path=path, scales=scales, kinds=kinds),
    )  # fmt: skip


def _finish(
    record: Record,
    *,
    source: ExportSource,
    store: FileStore,
    path: str,
    scales: list[PrecomputedScale],
    kinds: list[Kind],
) -> None:
    """Write the properties, and then `info`, with which the volume can be opened."""
    shards = bucket_count(len(shard_grid(scales[0]).places()))
    for kind in kinds:
        write_info(join(path, FOLDERS[kind]), kind, shards)
    properties = segment_properties(load_rows(store), source.voxel_size, read_names(source.beside.segment_names))
    info = precomputed_info(
        scales,
        {PROPERTIES: PROPERTIES}
        | {FOLDERS[kind]: FOLDERS[kind] for kind in kinds}
        | {"clew": record | handed_on(source.volume)},
    )
    for folder, document in ((join(path, PROPERTIES), properties), (path, info)):
        write_bytes(folder, INFO, json.dumps(document, indent=None if folder != path else 1).encode())
