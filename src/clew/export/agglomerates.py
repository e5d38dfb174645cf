"""What WEBKNOSSOS reads: a dataset, and which fragments make up which segment."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.segmentation.agglomeration import MergeTree
from clew.space import Lengths, Triple

VERSION = 4
"""Of the arrays of an attachment."""
LARGEST_ID = 2**53 - 1
"""Ids are JavaScript numbers there."""


def merges_inside(tree: MergeTree, lookup: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The merges of a tree that join fragments of one segment.

    Parameters
    ----------
    tree : MergeTree
    lookup : (m,) uint64
        Segment of each of `tree.fragments`.

    Returns
    -------
    edges : (n, 2) int64
        Indices of fragments.
    scores : (n,) float32
        1 for fragments that were one from the beginning.
    """
    pairs = np.concatenate([tree.must_link.reshape(-1, 2), tree.merges])
    scores = np.concatenate([np.ones(len(tree.must_link), np.float32), tree.scores])
    edges = np.searchsorted(tree.fragments, pairs).astype(np.int64)
    inside = lookup[edges[:, 0]] == lookup[edges[:, 1]]
    return edges[inside], scores[inside]


def agglomerate_arrays(
    lookup: NDArray[np.uint64], edges: NDArray[np.int64], scores: NDArray[np.float32], positions: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """The arrays of an attachment, by name.

    Parameters
    ----------
    lookup : (m,) uint64
        Segment of each fragment; fragment n has the id n + 1 in the volume.
    edges : (n, 2) int64
        Indices of fragments of one segment.
    scores : (n,) float32
    positions : (m, 3) int64
        A voxel (z, y, x) of each fragment.

    Returns
    -------
    dict
        Segments are numbered from 1 on, in the order of their ids.
    """
    ids, component = np.unique(lookup, return_inverse=True)
    order = np.argsort(component, kind="stable")
    starts = _starts(component, len(ids))
    local = np.empty(len(lookup), np.int64)
    local[order] = np.arange(len(lookup)) - starts[1:-1].astype(np.int64)[component[order]]
    pairs, of = np.sort(local[edges], 1), component[edges[:, 0]]
    edge_order = np.lexsort((pairs[:, 1], pairs[:, 0], of))
    return {
        "segment_to_agglomerate": np.concatenate([[0], component + 1]).astype(np.uint64),
        "agglomerate_to_segments_offsets": starts,
        "agglomerate_to_segments": (order + 1).astype(np.uint64),
        "agglomerate_to_edges_offsets": _starts(of, len(ids)),
        "agglomerate_to_edges": pairs[edge_order].astype(np.uint64),
        "agglomerate_to_affinities": scores[edge_order].astype(np.float32),
        "agglomerate_to_positions": positions[order][:, ::-1].astype(np.int32),
    }


def _starts(owners: NDArray[np.int64], count: int) -> NDArray[np.uint64]:
    """Where the rows of each segment begin, after two for id 0, which has none."""
    starts = np.zeros(count + 2, np.uint64)
    starts[2:] = np.cumsum(np.bincount(owners, minlength=count))
    return starts


def dataset_description(
    name: str, shape: Triple, voxel_size: Lengths, mags: dict[str, Triple], largest: int, attachment: str | None
) -> dict[str, Any]:
    """`datasource-properties.json` of a dataset with one layer, a segmentation.

    It is stored as zarr 3 (x, y, z).

    Parameters
    ----------
    name : str
        Of the dataset.
    shape : (z, y, x) ints
    voxel_size : (z, y, x) floats
        In nm.
    mags : dict of str to (z, y, x) ints
        Of each scale its folder, and how many voxels become one.
    largest : int
        The largest id.
    attachment : str, optional
        Folder of the arrays that say which fragments make up a segment.
    """
    depth, height, width = shape
    layer = {
        "name": "segmentation", "category": "segmentation", "elementClass": "uint64", "dataFormat": "zarr3",
        "boundingBox": {"topLeft": [0, 0, 0], "width": width, "height": height, "depth": depth},
        "mags": [{"mag": list(mag[::-1]), "path": f"./{path}", "axisOrder": {"x": 0, "y": 1, "z": 2}}
                 for path, mag in mags.items()],
        "largestSegmentId": largest, "numChannels": 1,
    }  # fmt: skip
    if attachment:
        found = {"name": attachment.rpartition("/")[2], "path": f"./{attachment}", "dataFormat": "zarr3"}
        layer["attachments"] = {"agglomerates": [found]}
    scale = {"factor": list(voxel_size[::-1]), "unit": "nanometer"}
    return {"version": 1, "id": {"name": name, "team": ""}, "scale": scale, "dataLayers": [layer]}
