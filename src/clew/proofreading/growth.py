"""Which of some points each voxel of a fragment hangs together with.

A seeded forest, exact, with all ties decided.
"""

import numpy as np
from numpy.typing import NDArray

from clew.kernels._flags import NOTHING, SEEDED
from clew.kernels.forest import decide_pairs


def grow_points(affinities: np.ndarray, inside: NDArray[np.bool_], points: NDArray[np.int64]) -> NDArray[np.int64]:
    """The point that each voxel of a fragment hangs together with most.

    That to which the maximum spanning forest connects it, with the points as roots.

    Pairs of voxels come in a strict order: stronger first; of equally strong ones those with fewer steps from the nearest point
    inside the fragment (the sum of both voxels), so that points share what is flat by distance; then the smaller index. A voxel
    that no path leads to goes to the point that is nearest.

    Parameters
    ----------
    affinities : (3, z, y, x) uint8
    inside : (z, y, x) bool
        The voxels that are grown over.
    points : (n,) int64
        Flat positions of voxels inside, ascending.

    Returns
    -------
    (z, y, x) int64
        Index of the point; -1 outside.
    """
    voxels = np.flatnonzero(inside)
    pairs, levels = _pairs_inside(affinities, inside, voxels)
    seeds = np.searchsorted(voxels, points)
    steps = _steps_from(seeds, pairs, len(voxels))
    order = np.lexsort((steps[pairs].sum(axis=1), 255 - levels.astype(np.int64)))
    kinds = np.full(len(voxels) + 1, NOTHING, np.uint8)
    kinds[seeds + 1] = SEEDED
    made = decide_pairs(pairs[order] + 1, len(pairs), kinds, np.zeros_like(kinds))
    owner = np.full(len(kinds), -1)
    owner[made.roots[seeds + 1]] = np.arange(len(points))
    found = owner[made.roots][1:]
    _give_to_nearest(found, np.column_stack(np.unravel_index(voxels, inside.shape)), seeds)
    result = np.full(inside.shape, -1)
    result.reshape(-1)[voxels] = found
    return result


def _pairs_inside(
    affinities: np.ndarray, inside: NDArray[np.bool_], voxels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Pairs of voxels inside, by their positions among these, and their affinities.

    In the order of the index 3 · voxel + channel.
    """
    places = np.full(inside.size, -1)
    places[voxels] = np.arange(len(voxels))
    steps = np.array([inside.shape[1] * inside.shape[2], inside.shape[2], 1])
    first = np.column_stack(np.unravel_index(voxels, inside.shape)) > 0
    before = np.where(first, places[voxels[:, None] - steps * first], -1)
    later, channels = np.nonzero(before >= 0)
    levels: NDArray[np.uint8] = affinities.reshape(3, -1)[channels, voxels[later]]
    return np.column_stack([later, before[later, channels]]), levels


def _steps_from(seeds: NDArray[np.int64], pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Pairs from the nearest seed to each voxel; `count` where no path leads there."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import dijkstra

    graph = coo_matrix((np.ones(len(pairs), np.int8), tuple(pairs.T)), (count, count)).tocsr()
    found = dijkstra(graph, directed=False, indices=seeds, unweighted=True, min_only=True)
    return np.minimum(found, count).astype(np.int64)


def _give_to_nearest(owners: NDArray[np.int64], voxels: NDArray[np.int64], seeds: NDArray[np.int64]) -> None:
    """Give what no path leads to, to the nearest point, in place.

    Of several to the first.
    """
    for place in np.flatnonzero(owners < 0):
        owners[place] = ((voxels[seeds] - voxels[place]) ** 2).sum(axis=1).argmin()
