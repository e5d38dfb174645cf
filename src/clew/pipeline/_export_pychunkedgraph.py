"""What PyChunkedGraph ingests: a watershed cut into chunks, edges, components."""

import json
from functools import partial
from math import prod
from typing import Any

import numpy as np

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid, even_blocks
from clew.blockwise.store import Store
from clew.blockwise.tasks import Task, keys
from clew.errors import InputError
from clew.export.chunked_graph import dataset_description
from clew.export.chunks_in_blocks import COMPONENTS, EDGES, FRAGMENTS, Chunks
from clew.pipeline._block_run import BlockWork
from clew.pipeline._declare import Record
from clew.pipeline._export_source import ExportSource
from clew.pipeline._export_webknossos import threshold_of
from clew.pipeline._files import handed_on, open_affinities, warn_all
from clew.pipeline._tables import load_merge_tree
from clew.segmentation.relabel import relabel, segment_lookup
from clew.space import Triple, triple
from clew.volumes.location import is_remote, join, write_bytes
from clew.volumes.place import box_inside
from clew.volumes.precomputed_blocks import precomputed_tasks, shared_precomputed
from clew.volumes.run_store import FileStore
from clew.volumes.shared_files import SharedFiles
from clew.volumes.shared_precomputed import (
    INFO,
    PrecomputedScale,
    precomputed_info,
    precomputed_scales,
    voxels_of_shards,
)

NAME, WATERSHED, DESCRIPTION = "pychunkedgraph", "watershed", "dataset.yml"
CUT = "segments"
"""Name of the tables of the segments of fragments."""
BYTES_A_VOXEL = 80
"""Memory of a worker for each voxel of a chunk or shard, at most."""


def lay_out_pychunkedgraph(source: ExportSource) -> BlockWork:
    """Lay the run out; nothing is written."""
    tree, path = source.beside.merge_tree, source.target(NAME)
    scales = precomputed_scales(source.shape, source.voxel_size, source.volume.offset, source.path)
    shape = source.options.chunk_shape or even_blocks(source.shape)
    chunks = Chunks(Grid(Domain.whole(source.shape), shape), CUT if tree else FRAGMENTS)
    affinities, place = _affinities(source)
    outputs: dict[str, Any] = dict(shared_precomputed(join(path, WATERSHED), scales))
    for name in (EDGES, COMPONENTS):
        outputs[name] = SharedFiles(join(path, name), "", source.lists(name))
    store = FileStore(
        source.folder / "tables", {"source": source.path, "affinities": affinities}, outputs, source.voxel_size,
        {"affinities": place},
    )  # fmt: skip
    tasks = chunks.tasks() + precomputed_tasks(scales, chunks.read, chunks.needs)
    if tree:
        places = chunks.grid.places()
        cut = partial(_cut, places=places, tree=tree, threshold=threshold_of(tree, source.beside.threshold))
        tasks.append(Task(cut, keys(FRAGMENTS, places), keys(CUT, places)))
    return BlockWork(
        source.folder, store, tasks, (source.volume,), prod(source.shape),
        BYTES_A_VOXEL * max(prod(np.minimum(shape, source.shape).tolist()), voxels_of_shards(scales)),
        partial(_finish, source=source, scales=scales, chunks=chunks), (join(path, DESCRIPTION),),
    )  # fmt: skip


def _affinities(source: ExportSource) -> tuple[str, Triple]:
    """Path of the affinities, and where their first voxel lies in the segmentation."""
    if source.beside.affinities is None:
        raise InputError(
            "pychunkedgraph needs the affinities of which the fragments were made, to tell what to cut first: give --affinities"
        )
    affinities = open_affinities(source.beside.affinities, source.voxel_size)
    found = box_inside(affinities, source.volume)
    warn_all(found.notes)
    return source.beside.affinities, triple(-low for low in found.box.low)


def _cut(store: Store, *, places: list[Triple], tree: str, threshold: float) -> None:
    """Say of which segments the fragments of each chunk are.

    It is the only task that has the whole tree in memory.
    """
    merges = load_merge_tree(tree)[0]
    lookup = segment_lookup(merges, threshold)
    for place in places:
        fragments = store.load((FRAGMENTS, *place))["fragments"]
        segments = relabel(fragments, merges.fragments, lookup)
        store.save((CUT, *place), {"fragments": fragments, "segments": segments})


def _finish(record: Record, *, source: ExportSource, scales: list[PrecomputedScale], chunks: Chunks) -> None:
    """Write `info` of the watershed, and then the configuration of the ingest."""
    path = source.target(NAME)
    info = precomputed_info(scales, {"clew": record | handed_on(source.volume)})
    write_bytes(join(path, WATERSHED), INFO, json.dumps(info, indent=1).encode())
    address = path if is_remote(path) else f"file://{path}"
    description = dataset_description(address, chunks.grid.block_shape, chunks.numbering)
    write_bytes(path, DESCRIPTION, json.dumps(description, indent=1).encode())
