"""Which of some points each voxel of a fragment hangs together with.

A seeded forest, exact, with all ties decided.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from clew.kernels._flags import NOTHING, SEEDED
from clew.kernels.forest import decide_pairs

CEILINGS = (255, 224, 192, 128, 64, 32, 0)
"""Affinities from which on pairs count as equally strong, in the order in which they are tried; with 0 distance alone decides."""
LEAST_SHARE, LEAST_VOXELS = 25, 50
"""A side that gets less than this part of what would be fair, or fewer voxels, is taken to be lost in noise. Of 162 pairs of
points in real fragments that hold two neurites, 65 % gave one of them fewer than 20 voxels at ceiling 255, and 1 % so; the mean
share of voxels that went to the right one rose from 60 to 69 %, and stayed 97 % for pairs of points in two neurites that touch
along a membrane."""


def grow_points(
    affinities: np.ndarray, inside: NDArray[np.bool_], points: NDArray[np.int64], sides: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The point that each voxel of a fragment hangs together with most.

    That to which the maximum spanning forest connects it, with the points as roots.

    Pairs of voxels come in a strict order: stronger first; of equally strong ones those with fewer steps from the nearest point
    inside the fragment (the sum of both voxels), so that points share what is flat by distance; then the smaller index. What only
    diagonals lead to comes last, by index; a voxel that nothing leads to goes to the point that is nearest.

    Where a side gets next to nothing, because its points lie in noise, pairs above a ceiling count as equally strong; the ceiling
    falls until each side gets more.

    Parameters
    ----------
    affinities : (3, z, y, x) uint8
    inside : (z, y, x) bool
        The voxels that are grown over.
    points : (n,) int64
        Flat positions of voxels inside, ascending.
    sides : (n,) int64
        The side of each, 0 or more.

    Returns
    -------
    (z, y, x) int64
        Index of the point; -1 outside.
    """
    voxels = np.flatnonzero(inside)
    pairs, levels = _pairs_inside(affinities, inside, voxels)
    seeds = np.searchsorted(voxels, points)
    steps = _steps_from(seeds, pairs, len(voxels))[pairs].sum(axis=1)
    fair = len(voxels) // len(np.unique(sides))
    enough = max(fair // LEAST_SHARE, min(LEAST_VOXELS, fair // 2))
    diagonals = _diagonals_inside(inside, voxels)
    for ceiling in CEILINGS:
        order = np.argsort((255 - np.minimum(levels, ceiling)) * (2 * len(voxels) + 1) + steps, kind="stable")
        found = _forest(np.concatenate([pairs[order], diagonals]), seeds, len(voxels))
        if np.bincount(sides[found[found >= 0]])[np.unique(sides)].min() >= enough:
            break
    _give_to_nearest(found, np.column_stack(np.unravel_index(voxels, inside.shape)), seeds)
    result = np.full(inside.shape, -1)
    result.reshape(-1)[voxels] = found
    return result


def _forest(pairs: NDArray[np.int64], seeds: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The index of the seed to which pairs connect each voxel.

    Best pairs first; -1 for no seed.
    """
    kinds = np.full(count + 1, NOTHING, np.uint8)
    kinds[seeds + 1] = SEEDED
    roots = decide_pairs(pairs + 1, len(pairs), kinds, np.zeros_like(kinds)).roots
    owner = np.full(count + 1, -1)
    owner[roots[seeds + 1]] = np.arange(len(seeds))
    found: NDArray[np.int64] = owner[roots][1:]
    return found


def _pairs_inside(
    affinities: np.ndarray, inside: NDArray[np.bool_], voxels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of voxels inside, by their positions among these, and their affinities.

    In the order of the index 3 · voxel + channel.
    """
    places = np.full(inside.size, -1)
    places[voxels] = np.arange(len(voxels))
    steps = np.array([inside.shape[1] * inside.shape[2], inside.shape[2], 1])
    first = np.column_stack(np.unravel_index(voxels, inside.shape)) > 0
    before = np.where(first, places[voxels[:, None] - steps * first], -1)
    later, channels = np.nonzero(before >= 0)
    levels = affinities.reshape(3, -1)[channels, voxels[later]]
    return np.column_stack([later, before[later, channels]]), levels.astype(np.int64)


def _diagonals_inside(inside: NDArray[np.bool_], voxels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pairs of voxels inside that touch along an edge or a corner.

    By the later one, and then the offset.

    As pairs of `_pairs_inside`; the one before is at one of the offsets (-1, -1, -1), (-1, -1, 0), …
    """
    padded = np.full(tuple(size + 2 for size in inside.shape), -1)
    places = np.column_stack(np.unravel_index(voxels, inside.shape)) + 1
    padded[tuple(places.T)] = np.arange(len(voxels))
    before = [offset for offset in product((-1, 0, 1), repeat=3) if offset < (0, 0, 0) and np.count_nonzero(offset) > 1]
    others = np.column_stack([padded[tuple((places + offset).T)] for offset in before])
    later, offsets = np.nonzero(others >= 0)
    return np.column_stack([later, others[later, offsets]])


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
