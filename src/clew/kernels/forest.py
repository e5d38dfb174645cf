"""Seeded maximum spanning forest over basins, by Kruskal's method on pairs in strict order."""

import numpy as np

from clew.kernels._jit import inline, kernel

_U = np.uint64


def touching_pairs(
    affinities: np.ndarray, numbers: np.ndarray, seeded: np.ndarray, low: int, per_section: bool
) -> np.ndarray:
    """Pairs of voxels of two basins that are not both seeded, with affinity ≥ `low`, in strict order.

    Parameters
    ----------
    affinities : (3, z, y, x) uint8
    numbers : (voxels,) uint32 or int64
        Number of each voxel's basin, 0 for none.
    seeded : (basins + 1,) uint8
    per_section
        Pairs in the plane only.

    Returns
    -------
    (pairs, 2), dtype of `numbers`
        The two basins of each pair, strongest first, ties by the pair's index 3 · voxel + channel.
    """
    counts = np.zeros(256, np.int64)
    labels = numbers.reshape(affinities.shape[1:])
    _count_pairs(affinities, labels, seeded, low, per_section, counts)
    pairs = np.empty((counts.sum(), 2), numbers.dtype)
    starts = counts[::-1].cumsum()[::-1] - counts
    _gather_pairs(affinities, labels, seeded, low, per_section, starts, pairs)
    return pairs


@inline
def _open(one, other, seeded):
    """Whether two basins may still be united."""
    return one != other and one != 0 and other != 0 and not (seeded[_U(one)] and seeded[_U(other)])


@inline
def _count_row(strengths, row, others, seeded, low, counts):
    for x in range(row.size):
        if strengths[x] >= low and _open(row[x], others[x], seeded):
            counts[_U(strengths[x])] += 1


@kernel
def _count_pairs(affinities, labels, seeded, low, per_section, counts):
    depth, height, width = labels.shape
    for z in range(depth):
        for y in range(height):
            row = labels[z, y]
            if z > 0 and not per_section:
                _count_row(affinities[0, z, y], row, labels[z - 1, y], seeded, low, counts)
            if y > 0:
                _count_row(affinities[1, z, y], row, labels[z, y - 1], seeded, low, counts)
            _count_row(affinities[2, z, y, 1:], row[1:], row[:-1], seeded, low, counts)


@inline
def _gather(strength, one, other, seeded, low, starts, pairs):
    if strength >= low and _open(one, other, seeded):
        place = starts[_U(strength)]
        starts[_U(strength)] = place + 1
        pairs[_U(place), 0] = one
        pairs[_U(place), 1] = other


@kernel
def _gather_pairs(affinities, labels, seeded, low, per_section, starts, pairs):
    depth, height, width = labels.shape
    for z in range(depth):
        for y in range(height):
            row = labels[z, y]
            above = labels[z - 1, y] if z > 0 and not per_section else row
            before = labels[z, y - 1] if y > 0 else row
            along_z = affinities[0, z, y]
            along_y = affinities[1, z, y]
            along_x = affinities[2, z, y]
            previous = row[0]
            for x in range(width):
                here = row[x]
                if here != above[x] or here != before[x] or here != previous:
                    _gather(along_z[x], here, above[x], seeded, low, starts, pairs)
                    _gather(along_y[x], here, before[x], seeded, low, starts, pairs)
                    _gather(along_x[x], here, previous, seeded, low, starts, pairs)
                previous = here


def seeded_forest(pairs: np.ndarray, seeded: np.ndarray, firsts: np.ndarray) -> np.ndarray:
    """Kruskal's method that never unites two components with a seed.

    Parameters
    ----------
    pairs : (pairs, 2) uint32 or int64
        Basins to unite, best first.
    seeded : (basins + 1,) uint8
    firsts : (basins + 1,) uint64
        1 + smallest voxel of each basin, 0 for none.

    Returns
    -------
    (basins + 1,) uint64
        1 + smallest voxel of the component of each basin; 0 without a seed.
    """
    parents = np.arange(seeded.size, dtype=pairs.dtype)
    rooted = seeded.copy()
    _kruskal(pairs, rooted, parents)
    labels = np.zeros(seeded.size, np.uint64)
    _name_components(parents, rooted, firsts, labels)
    return labels


@inline
def _root(parents, i):
    above = np.int64(parents[_U(i)])
    while above != i:
        next_above = np.int64(parents[_U(above)])
        parents[_U(i)] = next_above
        i = next_above
        above = np.int64(parents[_U(i)])
    return i


@kernel
def _kruskal(pairs, rooted, parents):
    free = np.int64(0)
    for i in range(1, rooted.size):
        free += rooted[i] == 0
    for i in range(pairs.shape[0]):
        one = _root(parents, np.int64(pairs[i, 0]))
        other = _root(parents, np.int64(pairs[i, 1]))
        if one == other or (rooted[_U(one)] and rooted[_U(other)]):
            continue
        smaller = min(one, other)
        larger = max(one, other)
        parents[_U(larger)] = smaller
        rooted[_U(smaller)] |= rooted[_U(larger)]
        free -= 1
        if free == 0:
            break


@kernel
def _name_components(parents, rooted, firsts, labels):
    for i in range(1, labels.size):
        root = _root(parents, np.int64(i))
        if rooted[_U(root)] and firsts[i] != 0 and (labels[_U(root)] == 0 or firsts[i] < labels[_U(root)]):
            labels[_U(root)] = firsts[i]
    for i in range(1, labels.size):
        labels[i] = labels[_U(_root(parents, np.int64(i)))]
