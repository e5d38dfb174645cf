"""Scores of a segmentation against skeletons.

Expected run length, splits and merges, and the path length between errors.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from clew.arrays import as_array, as_ids, as_whole
from clew.errors import InputError
from clew.labels import Labels


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
    pieces : (nodes,) int64, optional
        Where skeletons were cut: the piece of each node. No error lies between two pieces of a skeleton. By default each skeleton
        is one piece.

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
    pieces: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        positions = as_array(self.positions, "positions").astype(np.float64, copy=False)
        object.__setattr__(self, "positions", positions)
        for name in ("edges", "skeletons", *(["pieces"] if self.pieces is not None else [])):
            values = as_array(getattr(self, name), name)
            if values.size and values.dtype.kind not in "uib":
                raise InputError(f"{name} must be whole numbers, not {values.dtype}")
            object.__setattr__(self, name, values.astype(np.int64, copy=False))
        self._check()

    def _check(self) -> None:
        nodes = self.positions.size // 3
        if self.positions.shape != (nodes, 3) or self.skeletons.shape != (nodes,) or self.edges.shape[1:] != (2,):
            raise InputError("skeletons need positions (nodes, 3), edges (edges, 2) and one skeleton for each node")
        if self.pieces is not None and self.pieces.shape != (nodes,):
            raise InputError(f"skeletons need one piece for each of {nodes} nodes, not of shape {self.pieces.shape}")
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
        Segments of the skeleton, less one; of each of its pieces.
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


def crop_skeletons(skeletons: Skeletons, kept: NDArray[np.bool_]) -> Skeletons:
    """Keep the chosen nodes, and the edges between them.

    A skeleton of which nodes are left out comes apart into pieces: what leaves a volume and comes back is no error.
    """
    index = np.cumsum(kept) - 1
    edges, owners = index[skeletons.edges[kept[skeletons.edges].all(axis=1)]], skeletons.skeletons[kept]
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (len(owners), len(owners)))
    pieces = connected_components(graph, directed=False)[1].astype(np.int64)
    whole = ~np.isin(owners, skeletons.skeletons[~kept])
    first = np.unique(owners, return_index=True, return_inverse=True)
    pieces[whole] = pieces[first[1]][first[2].ravel()][whole]
    return Skeletons(skeletons.positions[kept], edges, owners, pieces)


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
    segments, ids, owner = checked_nodes(segments, skeletons)
    minimum_nodes = as_whole(minimum_nodes, "minimum_nodes", 1)
    pieces = pieces_of(skeletons)
    sums = _runs(segments, skeletons, owner, pieces, minimum_nodes)
    length, runs = (np.bincount(pieces.owners, each, len(ids)).astype(np.float64) for each in sums)
    parts = parts_of(segments, owner, minimum_nodes)
    shared = shared_entries(parts[:, 0])
    splits = (
        np.bincount(
            parts_of(segments, pieces.of_nodes, minimum_nodes)[:, 1].astype(np.int64), minlength=len(pieces.owners)
        )
        - 1
    )
    return SkeletonErrors(
        ids,
        length,
        np.divide(runs, length, out=np.zeros_like(runs), where=length > 0),
        np.bincount(pieces.owners, np.maximum(splits, 0), len(ids)).astype(np.int64),
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
    segments, _, owner = checked_nodes(segments, skeletons)
    minimum_nodes = as_whole(minimum_nodes, "minimum_nodes", 1)
    pieces = pieces_of(skeletons)
    length, runs = _runs(segments, skeletons, owner, pieces, minimum_nodes)
    total = float(length.sum())
    if not total:
        raise InputError("the skeletons must have edges of some length inside the volume; check offset and voxel size")
    apart, together = (parts_of(segments, of, minimum_nodes) for of in (pieces.of_nodes, owner))
    splits, merges = (len(parts) - len(np.unique(parts[:, at])) for parts, at in ((apart, 1), (together, 0)))
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


def checked_nodes(segments: ArrayLike, skeletons: Skeletons) -> tuple[Labels, NDArray[np.int64], NDArray[np.int64]]:
    """Segments, ids of the skeletons, and the index of each node's skeleton in them."""
    found = as_ids(segments, "segments")
    if found.shape != skeletons.skeletons.shape:
        nodes = len(skeletons.skeletons)
        raise InputError(
            f"segments must be a list of one segment for each of {nodes} nodes, not of shape {found.shape}"
        )
    ids, owner = np.unique(skeletons.skeletons, return_inverse=True)
    return found, ids, owner.ravel()


class Pieces(NamedTuple):
    """The piece of each node, and the skeleton of each piece, by their indices."""

    of_nodes: NDArray[np.int64]
    owners: NDArray[np.int64]


def pieces_of(skeletons: Skeletons) -> Pieces:
    _, owner = np.unique(skeletons.skeletons, return_inverse=True)
    if skeletons.pieces is None:
        return Pieces(owner.ravel(), np.arange(owner.max(initial=-1) + 1))
    rows = np.stack([owner.ravel(), skeletons.pieces], axis=1)
    found, index = np.unique(rows, axis=0, return_inverse=True)
    return Pieces(index.ravel(), found[:, 0])


def parts_of(segments: Labels, owner: NDArray[np.int64], minimum_nodes: int) -> Labels:
    """Rows (segment, skeleton) of pairs that share at least so many nodes.

    Segment 0 stands for none and gives no row.
    """
    rows = np.stack([segments, owner.astype(np.uint64)], axis=1)[segments != 0]
    pairs, counts = np.unique(rows, axis=0, return_counts=True)
    return pairs[counts >= minimum_nodes]


def shared_entries(segments: Labels) -> NDArray[np.bool_]:
    """Mark the entries that occur more than once."""
    _, index, counts = np.unique(segments, return_inverse=True, return_counts=True)
    return counts[index.ravel()] > 1


def _runs(
    segments: Labels, skeletons: Skeletons, owner: NDArray[np.int64], pieces: Pieces, minimum_nodes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Path length of each piece, and the sum of the squares of its runs."""
    lengths, first, second = skeletons.lengths, *skeletons.edges.T
    count = len(pieces.owners)
    total = np.bincount(pieces.of_nodes[first], lengths, count).astype(np.float64)
    parts = parts_of(segments, owner, minimum_nodes)
    merging = np.unique(parts[shared_entries(parts[:, 0]), 0])
    good = (segments[first] == segments[second]) & (segments[first] != 0) & ~np.isin(segments[first], merging)
    rows = np.stack([segments[first], pieces.of_nodes[first].astype(np.uint64)], axis=1)[good]
    pairs, index = np.unique(rows, axis=0, return_inverse=True)
    runs = np.bincount(index.ravel(), lengths[good], len(pairs)).astype(np.float64)
    squares = np.bincount(pairs[:, 1].astype(np.int64), runs**2, count)
    return total, squares.astype(np.float64)  # of nothing, bincount makes whole numbers
