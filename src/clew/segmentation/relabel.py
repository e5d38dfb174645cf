"""From the merge tree to a segmentation: cut the tree, rename the voxels."""

import numpy as np
from numpy.typing import NDArray

from clew.arrays import as_array, as_ids
from clew.errors import InputError
from clew.kernels.merge_tree import cut_tree
from clew.kernels.relabel import replace_ids
from clew.segmentation.agglomeration import MergeTree


def segment_lookup(tree: MergeTree, threshold: float) -> NDArray[np.uint64]:
    """Segment of each fragment after all merges with 1 - score < threshold.

    A larger threshold merges more.

    Further thresholds of the same tree cost about 5 ns a fragment. Exact at block borders, as the tree is.

    Parameters
    ----------
    tree : MergeTree
    threshold : float
        In [0, 1]: 0 merges nothing, 1 everything but the merges of score 0.

    Returns
    -------
    (m,) uint64
        The smallest fragment id in the segment, in the order of `tree.fragments`.

    Raises
    ------
    InputError
        For a threshold outside [0, 1] or a broken tree.

    Examples
    --------
    >>> affinities = np.full((3, 1, 1, 4), 204, np.uint8)  # 204 / 255 = 0.8
    >>> fragments = np.array([[[1, 1, 3, 3]]], np.uint64)
    >>> tree = clew.agglomerate(clew.build_region_graph(affinities, fragments))
    >>> clew.segment_lookup(tree, 0.1).tolist(), clew.segment_lookup(tree, 0.3).tolist()
    ([1, 3], [1, 1])
    """
    check_threshold(threshold)
    parents, levels = tree.cuts
    roots = cut_tree(parents, levels, lowest_kept(threshold))
    return as_ids(tree.fragments, "fragments")[roots]


def lowest_kept(threshold: float) -> float:
    """The score, in 65535ths, above which merges happen at a threshold."""
    return float(np.round(65535 * (1.0 - threshold), 6))


def check_threshold(threshold: float) -> None:
    """Refuse a threshold that is no fraction."""
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold must be in [0, 1] (merge while 1 - score < threshold), not {threshold}")


def exchange_ids(ids: NDArray[np.uint64], old: NDArray[np.uint64], new: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Replace each id `old[i]` by `new[i]`; ids that are not among the old ones stay.

    The old ids ascend.
    """
    if not len(old):
        return ids
    positions = np.minimum(np.searchsorted(old, ids), len(old) - 1)
    return np.where(old[positions] == ids, new[positions], ids)


def relabel(fragments: np.ndarray, ids: np.ndarray, lookup: np.ndarray) -> NDArray[np.uint64]:
    """Replace each fragment by its segment.

    Parameters
    ----------
    fragments : (z, y, x) uint64 or uint32
        0 stays 0.
    ids : (m,) uint64
        The fragments that the lookup knows, each once, e.g. `tree.fragments`.
    lookup : (m,) uint64
        Their segments, e.g. from `segment_lookup`.

    Returns
    -------
    (z, y, x) uint64

    Raises
    ------
    InputError
        Where a voxel's fragment is not among the ids, or the tables do not fit.

    Examples
    --------
    >>> fragments = np.array([[[0, 5, 7]]], np.uint64)
    >>> clew.relabel(fragments, np.array([5, 7], np.uint64), np.array([5, 5], np.uint64))
    array([[[0, 5, 5]]], dtype=uint64)
    """
    ids, lookup = as_ids(ids, "ids"), as_ids(lookup, "lookup")
    fragments = as_array(fragments, "fragments")
    if ids.ndim != 1 or ids.shape != lookup.shape:
        raise InputError(
            f"ids and lookup must be two lists of one length, not of shapes {ids.shape} and {lookup.shape}"
        )
    if fragments.dtype not in (np.uint32, np.uint64):
        raise InputError(f"fragments must be uint64 or uint32, not {fragments.dtype}: convert them with astype")
    if len(ids) and (ids[1:] <= ids[:-1]).any() and len(np.unique(ids)) < len(ids):
        raise InputError("ids must hold each fragment once, but some occur twice")
    if not fragments.size:
        return np.zeros(fragments.shape, np.uint64)
    segmentation, stranger = replace_ids(np.ascontiguousarray(fragments), ids, lookup)
    if stranger >= 0:
        name = fragments.flat[stranger]
        raise InputError(
            f"fragment {name} is not among the {len(ids)} ids of the lookup: was it made for other fragments?"
        )
    return segmentation
