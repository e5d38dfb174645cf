"""MALIS by definition: the maximin edge of every pair of voxels, found by adding edges one by one."""

import itertools

import numpy as np

from naive.targets import affinity_targets, split_components

OFFSETS = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))


def ordered_edges(affinities, targets, valid):
    """Edges (number, voxel, other voxel), stronger first, then target 1 before 0, then by number."""
    shape = affinities.shape[1:]
    edges = []
    for edge in np.flatnonzero(valid):
        channel, *voxel = np.unravel_index(edge, affinities.shape)
        other = np.add(voxel, OFFSETS[channel])
        ends = np.ravel_multi_index(voxel, shape), np.ravel_multi_index(other, shape)
        edges.append((-affinities.flat[edge], not targets.flat[edge], edge, *ends))
    return [edge[2:] for edge in sorted(edges)]


def components(edges, voxels):
    """Number of the component of each voxel, by spreading the smallest number until nothing changes."""
    number = np.arange(voxels)
    changed = True
    while changed:
        changed = False
        for _, a, b in edges:
            if number[a] != number[b]:
                number[a] = number[b] = min(number[a], number[b])
                changed = True
    return number


def maximin_pairs(affinities, labels, targets, valid):
    """Pairs of (equal, different) non-zero label per maximin edge."""
    edges = ordered_edges(affinities, targets, valid)
    flat = labels.ravel()
    a, b = np.triu_indices(flat.size, 1)
    a, b = a[(flat[a] != 0) & (flat[b] != 0)], b[(flat[a] != 0) & (flat[b] != 0)]
    apart = np.ones(a.size, bool)
    same, different = np.zeros(affinities.shape, np.int64), np.zeros(affinities.shape, np.int64)
    for k, (edge, _, _) in enumerate(edges):
        number = components(edges[: k + 1], flat.size)
        joined = apart & (number[a] == number[b])
        same.flat[edge] = (joined & (flat[a] == flat[b])).sum()
        different.flat[edge] = (joined & (flat[a] != flat[b])).sum()
        apart &= ~joined
    return same, different


def constrained_pairs(affinities, labels, mask=None):
    """Both passes, as written in the paper, on labels that are split by the unmasked target graph."""
    targets, valid = affinity_targets(labels, OFFSETS, mask)
    objects = split_components(labels if mask is None else np.where(mask, labels, 0))
    same, _ = maximin_pairs(np.minimum(affinities, targets), objects, targets, valid)
    _, different = maximin_pairs(np.maximum(affinities, targets), objects, targets, valid)
    return np.where(targets, same, 0), np.where(targets, 0, different)


def windows(shape, window, start):
    """Boxes of the voxels that lie in one cell of a grid with a corner at `start`."""
    cells = [(np.arange(size) - first) // step for size, step, first in zip(shape, window, start, strict=True)]
    places = [[np.flatnonzero(cell == number) for number in np.unique(cell)] for cell in cells]
    return [tuple(slice(p[0], p[-1] + 1) for p in box) for box in itertools.product(*places)]


def last_edges_of_squares(affinities, targets, valid):
    """(3, z, y, x) bool: edges that come last among the four sides of some unit square."""
    place = {edge: k for k, (edge, _, _) in enumerate(ordered_edges(affinities, targets, valid))}
    number = np.arange(affinities.size).reshape(affinities.shape)
    last = np.zeros(affinities.shape, bool)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        for voxel in np.ndindex(affinities.shape[1:]):
            beside = [tuple(np.add(voxel, OFFSETS[axis])) for axis in (first, second)]
            if min(min(other) for other in beside) < 0:
                continue
            sides = [number[first][voxel], number[second][voxel], number[first][beside[1]], number[second][beside[0]]]
            if all(side in place for side in sides):
                last.flat[max(sides, key=place.get)] = True
    return last
