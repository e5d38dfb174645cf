"""A WEBKNOSSOS dataset: a segmentation, or fragments and what makes up a segment."""

import json
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.arrays import as_ids
from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid, even_blocks
from clew.errors import InputError
from clew.export.agglomerates import LARGEST_ID, VERSION, agglomerate_arrays, dataset_description, merges_inside
from clew.export.in_blocks import load_rows, row_tasks
from clew.export.segment_table import SegmentRows
from clew.pipeline._block_run import BlockWork
from clew.pipeline._declare import Record
from clew.pipeline._export_source import ExportSource
from clew.pipeline._files import chosen_threshold, handed_on
from clew.pipeline._progress import warn
from clew.pipeline._tables import load_merge_tree
from clew.segmentation.relabel import relabel, segment_lookup
from clew.volumes.formats.ome_zarr import write_table
from clew.volumes.in_blocks import copy_tasks, scale_tasks, shared_scales
from clew.volumes.location import join, write_bytes
from clew.volumes.pyramid import Scale, coarser_scales
from clew.volumes.run_store import FileStore
from clew.volumes.shared import METADATA, ReversedVolume

LAYER, DESCRIPTION = "segmentation.zarr", "datasource-properties.json"
ATTACHMENT = f"{LAYER}/agglomerates/agglomerates"
BYTES_A_VOXEL = 40
"""Memory of a worker for each voxel of a block, at most."""


@dataclass
class Numbered:
    """Ids of fragments as places in the merge tree, from 1 on; it can be pickled.

    WEBKNOSSOS wants it so.

    Parameters
    ----------
    merge_tree : str, optional
        Path; ids stay without one.
    """

    merge_tree: str | None
    _fragments: NDArray[np.uint64] | None = field(default=None, repr=False)

    def __call__(self, labels: NDArray[Any]) -> NDArray[np.uint64]:
        ids = as_ids(labels, "the segmentation")
        if self.merge_tree is None:
            if (largest := ids.max(initial=0)) > LARGEST_ID:
                raise InputError(
                    f"the segmentation has the id {largest}; WEBKNOSSOS knows those up to 2^53 - 1: give fragments and "
                    "--merge-tree, which are numbered anew, or another --format"
                )
            return ids
        if self._fragments is None:
            self._fragments = load_merge_tree(self.merge_tree)[0].fragments
        return relabel(ids, self._fragments, np.arange(1, len(self._fragments) + 1, dtype=np.uint64))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_fragments": None}


def lay_out_webknossos(source: ExportSource) -> BlockWork:
    """Lay the run out; nothing is written."""
    tree = source.beside.merge_tree
    threshold = None if tree is None else threshold_of(tree, source.beside.threshold)
    shape, path = even_blocks(source.shape), join(source.target("webknossos"), LAYER)
    scales = [Scale(source.shape, source.voxel_size, source.volume.offset)]
    scales += coarser_scales(scales[0])
    store = FileStore(
        source.folder / "tables",
        {"source": source.path},
        shared_scales(path, "volume", np.uint64, scales, shape, ReversedVolume),
        source.voxel_size,
    )
    grid = Grid(Domain.whole(source.shape), shape)
    tasks = copy_tasks(grid, Numbered(tree)) + scale_tasks("volume", scales, shape) + row_tasks(grid, 0)
    return BlockWork(
        source.folder, store, tasks, (source.volume,), prod(source.shape), BYTES_A_VOXEL * prod(shape),
        partial(_finish, source=source, store=store, scales=scales, threshold=threshold),
        (join(source.target("webknossos"), DESCRIPTION),),
    )  # fmt: skip


def threshold_of(tree: str, given: float | None) -> float:
    """The threshold at which to cut a merge tree: the given one, else the stored."""
    found, attributes = load_merge_tree(tree)
    return chosen_threshold(given, attributes, found.score, tree)


def _finish(
    record: Record, *, source: ExportSource, store: FileStore, scales: list[Scale], threshold: float | None
) -> None:
    """Write what makes up segments, and then the description of the dataset.

    With it the dataset can be opened.
    """
    place, rows = source.target("webknossos"), load_rows(store)
    _write_group(join(place, LAYER), {"clew": record | handed_on(source.volume)})
    largest = int(rows.ids.max(initial=0))
    if source.beside.merge_tree and threshold is not None:
        largest = _write_attachment(join(place, ATTACHMENT), source.beside.merge_tree, threshold, rows)
    mags = {f"{LAYER}/{output.name}": _mag(scales, number) for number, output in enumerate(store.outputs.values())}
    description = dataset_description(
        source.folder.name,
        source.shape,
        source.voxel_size,
        mags,
        largest,
        ATTACHMENT if source.beside.merge_tree else None,
    )
    write_bytes(place, DESCRIPTION, json.dumps(description, indent=1).encode())


def _mag(scales: list[Scale], number: int) -> tuple[int, int, int]:
    z, y, x = np.prod([scale.factors for scale in scales[: number + 1]], axis=0).tolist()
    return z, y, x


def _write_attachment(folder: str, merge_tree: str, threshold: float, rows: SegmentRows) -> int:
    """Write the arrays of the attachment; the number of fragments."""
    tree = load_merge_tree(merge_tree)[0]
    if missing := len(tree.fragments) - len(rows.ids):
        warn(
            f"{missing} of the {len(tree.fragments)} fragments of {merge_tree} have no voxel: is the source its fragments?"
        )
    positions = np.zeros((len(tree.fragments), 3), np.int64)
    positions[np.searchsorted(tree.fragments, rows.ids)] = rows.points
    lookup = segment_lookup(tree, threshold)
    arrays = agglomerate_arrays(lookup, *merges_inside(tree, lookup), positions)
    for name, values in arrays.items():
        write_table(join(folder, name), values)
    _write_group(
        folder, {"voxelytics": {"artifact_schema_version": VERSION, "artifact_class": "AgglomerateViewArtifact"}}
    )
    return len(tree.fragments)


def _write_group(folder: str, attributes: dict[str, Any]) -> None:
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    write_bytes(folder, METADATA, json.dumps(group, indent=1).encode())
