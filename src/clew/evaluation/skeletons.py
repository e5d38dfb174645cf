"""Scores of a segmentation against skeletons.

Expected run length, splits and merges, and the path length between errors.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clew.arrays import as_array, as_ids, as_triple, as_whole, is_array
from clew.errors import InputError
from clew.labels import Labels, check_label_kind
from clew.space import Box

_BLOCK = 128
"""Edge of the blocks in voxels that are read to look nodes up."""


@dataclass(frozen=True)
class Skeletons:
    """Traced neurons: nodes, and the edges between them.

    Parameters
    ----------
    positions : (nodes, 3) float64
        (z, y, x) in nm; a position in the middle of a voxel belongs to that voxel.
    edges : (edges, 2) int64
        Indices of two nodes.
    skeletons : (nodes,) int64
        Id of the skeleton of each node.

    Raises
    ------
    InputError
        If the arrays do not fit together, a position is not finite, or an edge joins two skeletons.

    Examples
    --------
    A straight skeleton of three nodes, 100 nm apart:

    >>> positions = np.array([[0, 0, 0], [0, 0, 100], [0, 0, 200]])
    >>> skeletons = clew.Skeletons(positions, np.array([[0, 1], [1, 2]]), np.array([1, 1, 1]))
    >>> skeletons.lengths
    array([100., 100.])
    """

    positions: NDArray[np.float64]
    edges: NDArray[np.int64]
    skeletons: NDArray[np.int64]

    def __post_init__(self) -> None:
        positions = as_array(self.positions, "positions").astype(np.float64, copy=False)
        object.__setattr__(self, "positions", positions)
        for name in ("edges", "skeletons"):
            values = as_array(getattr(self, name), name)
            if values.size and values.dtype.kind not in "uib":
                raise InputError(f"{name} must be whole numbers, not {values.dtype}")
            object.__setattr__(self, name, values.astype(np.int64, copy=False))
        self._check()

    def _check(self) -> None:
        nodes = self.positions.size // 3
        if self.positions.shape != (nodes, 3) or self.skeletons.shape != (nodes,) or self.edges.shape[1:] != (2,):
            raise InputError("skeletons need positions (nodes, 3), edges (edges, 2) and one skeleton for each node")
        if not np.isfinite(self.positions).all():
            raise InputError("positions of nodes must be finite numbers of nm, but some are NaN or infinite")
        if self.edges.size and not 0 <= self.edges.min() <= self.edges.max() < nodes:
            raise InputError(f"edges of skeletons must join nodes 0 to {nodes - 1}")
        if (self.skeletons[self.edges[:, 0]] != self.skeletons[self.edges[:, 1]]).any():
            raise InputError("an edge of a skeleton must not join nodes of two skeletons")

    @property
    def lengths(self) -> NDArray[np.float64]:
        """(edges,) length of each edge in nm."""
        return np.linalg.norm(self.positions[self.edges[:, 0]] - self.positions[self.edges[:, 1]], axis=1)


@dataclass(frozen=True)
class SkeletonErrors:
    """What happened to each skeleton: one entry for each, in the order of their ids.

    Parameters
    ----------
    skeletons : (skeletons,) int64
        Their ids.
    length : (skeletons,) float64
        Path length in nm.
    run_length : (skeletons,) float64
        Expected run length in nm: how far one comes on average from a random point of the skeleton in one segment.
    splits : (skeletons,) int64
        Segments of the skeleton, less one.
    merges : (skeletons,) int64
        Segments of the skeleton that hold other skeletons, too.
    """

    skeletons: NDArray[np.int64]
    length: NDArray[np.float64]
    run_length: NDArray[np.float64]
    splits: NDArray[np.int64]
    merges: NDArray[np.int64]


@dataclass(frozen=True)
class SkeletonScores:
    """How well a segmentation follows all skeletons.

    Lengths are in nm; a distance between errors is infinite where there is no error.

    Parameters
    ----------
    run_length : float
        Expected run length: Σ r² / Σ length over all runs r (Januszewski et al., Nature Methods 2018). A run is the
        path of a skeleton inside one segment; a segment that merges skeletons gives none.
    normalised_run_length : float
        The same as a share of what a perfect segmentation would have, in [0, 1].
    splits : int
        Segments of each skeleton less one, added up.
    merges : int
        Skeletons of each segment less one, added up.
    split_distance, merge_distance : float
        Path length for each split and for each merge.
    error_distance : float
        Path length for each error: 1 / (1 / split_distance + 1 / merge_distance) (SegEM: Berning et al., Neuron 2015).

    Examples
    --------
    >>> positions = np.array([[0, 0, 0], [0, 0, 100], [0, 0, 200]])
    >>> skeletons = clew.Skeletons(positions, np.array([[0, 1], [1, 2]]), np.array([1, 1, 1]))
    >>> clew.score_skeletons([7, 7, 7], skeletons).error_distance
    inf
    """

    run_length: float
    normalised_run_length: float
    splits: int
    merges: int
    split_distance: float
    merge_distance: float
    error_distance: float


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


def crop_skeletons(skeletons: Skeletons, kept: NDArray[np.bool_]) -> Skeletons:
    """Keep the chosen nodes, and the edges between them."""
    index = np.cumsum(kept) - 1
    edges = skeletons.edges[kept[skeletons.edges].all(axis=1)]
    return Skeletons(skeletons.positions[kept], index[edges], skeletons.skeletons[kept])


def skeleton_errors(segments: ArrayLike, skeletons: Skeletons, minimum_nodes: int = 1) -> SkeletonErrors:
    """Run length, splits and merges of each skeleton.

    Parameters
    ----------
    segments : (nodes,) whole numbers
        Segment at each node; nodes in segment 0 are in no segment.
    skeletons : Skeletons
        With as many nodes.
    minimum_nodes : int
        A segment counts as part of a skeleton, in splits and merges, if it holds this many of its nodes.

    Returns
    -------
    SkeletonErrors

    Raises
    ------
    InputError
        If there is not one segment for each node.

    Examples
    --------
    >>> positions = np.array([[0, 0, 0], [0, 0, 100], [0, 0, 200]])
    >>> skeletons = clew.Skeletons(positions, np.array([[0, 1], [1, 2]]), np.array([1, 1, 1]))
    >>> errors = clew.skeleton_errors([7, 7, 8], skeletons)
    >>> errors.run_length.tolist(), errors.splits.tolist()
    ([50.0], [1])
    """
    segments, ids, owner = _checked(segments, skeletons)
    minimum_nodes = as_whole(minimum_nodes, "minimum_nodes", 1)
    length, runs = _runs(segments, skeletons, owner, len(ids), minimum_nodes)
    parts = _parts(segments, owner, minimum_nodes)
    shared = _shared(parts[:, 0])
    return SkeletonErrors(
        ids,
        length,
        np.divide(runs, length, out=np.zeros_like(runs), where=length > 0),
        np.maximum(np.bincount(parts[:, 1].astype(np.int64), minlength=len(ids)) - 1, 0),
        np.bincount(parts[shared, 1].astype(np.int64), minlength=len(ids)),
    )


def score_skeletons(segments: ArrayLike, skeletons: Skeletons, minimum_nodes: int = 1) -> SkeletonScores:
    """Scores of a segmentation, from the segment at each node.

    Parameters
    ----------
    segments : (nodes,) whole numbers
        Segment at each node; nodes in segment 0 are in no segment.
    skeletons : Skeletons
        With as many nodes.
    minimum_nodes : int
        A segment counts as part of a skeleton, in splits and merges, if it holds this many of its nodes.

    Returns
    -------
    SkeletonScores

    Raises
    ------
    InputError
        If there is not one segment for each node, or no skeleton has an edge of some length.

    Examples
    --------
    >>> positions = np.array([[0, 0, 0], [0, 0, 100], [0, 0, 200]])
    >>> skeletons = clew.Skeletons(positions, np.array([[0, 1], [1, 2]]), np.array([1, 1, 1]))
    >>> scores = clew.score_skeletons([7, 7, 8], skeletons)
    >>> scores.run_length, scores.splits, scores.merges
    (50.0, 1, 0)
    """
    segments, ids, owner = _checked(segments, skeletons)
    minimum_nodes = as_whole(minimum_nodes, "minimum_nodes", 1)
    length, runs = _runs(segments, skeletons, owner, len(ids), minimum_nodes)
    total = float(length.sum())
    if not total:
        raise InputError("the skeletons must have edges of some length inside the volume; check offset and voxel size")
    parts = _parts(segments, owner, minimum_nodes)
    splits, merges = (len(parts) - len(np.unique(parts[:, column])) for column in (1, 0))
    run_length = float(runs.sum()) / total
    return SkeletonScores(
        run_length,
        float(runs.sum()) / float(length @ length),
        splits,
        merges,
        total / splits if splits else float("inf"),
        total / merges if merges else float("inf"),
        total / (splits + merges) if splits + merges else float("inf"),
    )


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


def _checked(segments: ArrayLike, skeletons: Skeletons) -> tuple[Labels, NDArray[np.int64], NDArray[np.int64]]:
    """Segments, ids of the skeletons, and the index of each node's skeleton in them."""
    found = as_ids(segments, "segments")
    if found.shape != skeletons.skeletons.shape:
        nodes = len(skeletons.skeletons)
        raise InputError(
            f"segments must be a list of one segment for each of {nodes} nodes, not of shape {found.shape}"
        )
    ids, owner = np.unique(skeletons.skeletons, return_inverse=True)
    return found, ids, owner.ravel()


def _parts(segments: Labels, owner: NDArray[np.int64], minimum_nodes: int) -> Labels:
    """Rows (segment, skeleton) of pairs that share at least so many nodes.

    Segment 0 stands for none and gives no row.
    """
    rows = np.stack([segments, owner.astype(np.uint64)], axis=1)[segments != 0]
    pairs, counts = np.unique(rows, axis=0, return_counts=True)
    return pairs[counts >= minimum_nodes]


def _shared(segments: Labels) -> NDArray[np.bool_]:
    """Mark the entries that occur more than once."""
    _, index, counts = np.unique(segments, return_inverse=True, return_counts=True)
    return counts[index.ravel()] > 1


def _runs(
    segments: Labels, skeletons: Skeletons, owner: NDArray[np.int64], count: int, minimum_nodes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Path length of each skeleton, and the sum of the squares of its runs."""
    lengths, first, second = skeletons.lengths, *skeletons.edges.T
    total = np.bincount(owner[first], lengths, count).astype(np.float64)
    parts = _parts(segments, owner, minimum_nodes)
    merging = np.unique(parts[_shared(parts[:, 0]), 0])
    good = (segments[first] == segments[second]) & (segments[first] != 0) & ~np.isin(segments[first], merging)
    rows = np.stack([segments[first], owner[first].astype(np.uint64)], axis=1)[good]
    pairs, index = np.unique(rows, axis=0, return_inverse=True)
    runs = np.bincount(index.ravel(), lengths[good], len(pairs)).astype(np.float64)
    squares = np.bincount(pairs[:, 1].astype(np.int64), runs**2, count)
    return total, squares.astype(np.float64)  # of nothing, bincount makes whole numbers
