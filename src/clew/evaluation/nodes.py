"""The segments at the nodes of skeletons."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clew.arrays import as_array, as_ids, as_triple, is_array
from clew.errors import InputError
from clew.evaluation.skeletons import Skeletons
from clew.labels import Labels, check_label_kind
from clew.space import Box

_BLOCK = 128
"""Edge of the blocks in voxels that are read to look nodes up."""


def read_nodes(
    segmentation: Any, skeletons: Skeletons, voxel_size: Sequence[float], offset: Sequence[float] = (0.0, 0.0, 0.0)
) -> tuple[Labels, NDArray[np.bool_]]:
    """The segment at each node, and which nodes lie inside the volume.

    Parameters
    ----------
    segmentation : (z, y, x) whole numbers
        An array, or anything that is sliced like one; only blocks that hold nodes are read.
    skeletons : Skeletons
        With n nodes.
    voxel_size : (z, y, x) floats
        In nm.
    offset : (z, y, x) floats
        Position of the first voxel in nm.

    Returns
    -------
    segments : (n,) uint64
        0 for nodes outside the volume.
    inside : (n,) bool

    Raises
    ------
    InputError
        If ids are negative or not whole numbers, or the voxel size is not three positive numbers.

    Examples
    --------
    >>> skeletons = clew.Skeletons(np.array([[0, 0, 0], [0, 0, 30]]), np.array([[0, 1]]), np.array([1, 1]))
    >>> segments, inside = clew.read_nodes(np.array([[[5, 6]]]), skeletons, voxel_size=(10, 10, 10))
    >>> segments.tolist(), inside.tolist()
    ([5, 0], [True, False])
    """
    segmentation = segmentation if is_array(segmentation) else as_array(segmentation, "segmentation")
    check_label_kind(segmentation, "segmentation")
    start, size = as_triple(offset, "offset", positive=False), as_triple(voxel_size, "voxel_size")
    voxels = np.floor((skeletons.positions - start) / size + 0.5).clip(-1, 2**62).astype(np.int64)
    inside = ((voxels >= 0) & (voxels < segmentation.shape)).all(axis=1)
    segments = np.zeros(len(voxels), np.uint64)
    for nodes, block in _blocks(voxels, np.flatnonzero(inside)):
        ids = as_ids(segmentation[block], "segmentation")
        segments[nodes] = ids[tuple((voxels[nodes] - block.low).T)]
    return segments, inside


def relabel_nodes(segments: ArrayLike, ids: ArrayLike, lookup: ArrayLike) -> Labels:
    """The segment of each node at a threshold: `ids[i]` becomes `lookup[i]`.

    Nodes of fragment 0 stay in segment 0.

    Parameters
    ----------
    segments : (nodes,) whole numbers
        Fragment at each node.
    ids : (fragments,) whole numbers
        Ids of the fragments, ascending.
    lookup : (fragments,) whole numbers
        Segment of each.

    Returns
    -------
    (nodes,) uint64

    Raises
    ------
    InputError
        If a node lies in a fragment that is not among the ids.
    """
    found, old, new = as_ids(segments, "segments"), as_ids(ids, "ids"), as_ids(lookup, "lookup")
    if old.ndim != 1 or old.shape != new.shape:
        raise InputError(f"ids and lookup must be lists of one length, not of shapes {old.shape} and {new.shape}")
    positions = np.minimum(np.searchsorted(old, found), max(len(old) - 1, 0))
    missing = (found != 0) & (old[positions] != found if len(old) else True)
    if missing.any():
        raise InputError(
            f"ids must hold the fragment of every node, but fragment {found[missing][0]} is not among them"
        )
    return np.where(found != 0, new[positions] if len(old) else 0, 0).astype(np.uint64)


def _blocks(voxels: NDArray[np.int64], nodes: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Box]]:
    """For every block that holds nodes: the nodes in it, and its box."""
    blocks, which = np.unique(voxels[nodes] // _BLOCK, axis=0, return_inverse=True)
    order = np.argsort(which.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(which.ravel(), minlength=len(blocks)))
    for block, start, end in zip(blocks, np.append(0, ends), ends, strict=False):
        yield nodes[order[start:end]], Box.tile(block.tolist(), (_BLOCK, _BLOCK, _BLOCK))
