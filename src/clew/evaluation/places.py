"""Parts of a volume: where two of them touch, and how long one is."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, dijkstra

from clew.arrays import as_triple
from clew.space import Box, Triple, triple

Mask = NDArray[np.bool_]
MOST_NODES = 20_000
"""Voxels of a part are joined to so many nodes at most, to measure its length: 0.1 s each."""


def box_of(part: Mask) -> Box:
    """The smallest box that holds a part, which must not be empty."""
    ends = []
    for axis in range(3):
        seen = np.flatnonzero(part.any(axis=tuple(other for other in range(3) if other != axis)))
        ends.append(slice(int(seen[0]), int(seen[-1]) + 1))
    return Box(*ends)


def touching(one: Mask, other: Mask) -> NDArray[np.int64]:
    """Voxels (n, 3) of a part with a face neighbour in the other."""
    if not one.any():
        return np.zeros((0, 3), np.int64)
    box = box_of(one).grown((1, 1, 1), (1, 1, 1), inside=Box.whole(triple(one.shape)))
    here, there = one[box], other[box]
    near = np.zeros(here.shape, bool)
    for axis in range(3):
        low = tuple(slice(None, -1) if each == axis else slice(None) for each in range(3))
        high = tuple(slice(1, None) if each == axis else slice(None) for each in range(3))
        near[low] |= here[low] & there[high]
        near[high] |= here[high] & there[low]
    return np.argwhere(near) + box.low


def middle_of(voxels: NDArray[np.int64], voxel_size: Sequence[float]) -> Triple:
    """Of some voxels (n, 3), that which is nearest to their mean."""
    away = (voxels - voxels.mean(axis=0)) * np.array(as_triple(voxel_size, "voxel_size"))
    return triple(voxels[int(np.argmin((away**2).sum(axis=1)))].tolist())


def path_length(part: Mask, voxel_size: Sequence[float]) -> float:
    """Length in nm of the longest way through a part.

    It is found by going twice to the farthest voxel, over voxels that touch at a corner at least, in the largest piece. Large parts
    are coarsened first.

    Parameters
    ----------
    part : (z, y, x) bool
        Not empty.
    voxel_size : (z, y, x) floats, nm
    """
    size = np.array(as_triple(voxel_size, "voxel_size"))
    coarse, size = _coarsened(part[box_of(part)], size)
    graph = _graph(coarse, size)
    if not graph.nnz:
        return 0.0
    pieces = connected_components(graph, directed=False)[1]
    start, longest = int(np.argmax(pieces == np.bincount(pieces).argmax())), 0.0
    for _ in range(2):
        away = dijkstra(graph, directed=False, indices=start)
        away[np.isinf(away)] = -1
        start, longest = int(np.argmax(away)), float(away.max())
    return longest


def _coarsened(part: Mask, size: NDArray[np.float64]) -> tuple[Mask, NDArray[np.float64]]:
    """The part in few enough larger voxels, each inside where a voxel in it is.

    Their edges become alike.
    """
    edge = float(size.min())
    while True:
        factors = np.maximum(np.round(edge / size), 1).astype(int)
        padded = np.pad(part, [(0, -length % factor) for length, factor in zip(part.shape, factors, strict=True)])
        shape = [n for length, factor in zip(padded.shape, factors, strict=True) for n in (length // factor, factor)]
        coarse = np.asarray(padded.reshape(shape).any(axis=(1, 3, 5)))
        if np.count_nonzero(coarse) <= MOST_NODES:
            return coarse, size * factors
        edge *= 1.5


def _graph(part: Mask, size: NDArray[np.float64]) -> Any:
    """Which voxels of a part touch, with the distance of their centres."""
    index = np.full(part.shape, -1)
    index[part] = np.arange(np.count_nonzero(part))
    rows, columns, lengths = [np.zeros(0, int)], [np.zeros(0, int)], [np.zeros(0)]
    whole = Box.whole(triple(part.shape))
    for step in _half_of_neighbours():
        there = whole.shifted(step).overlap(whole)
        one, other = index[there.shifted(-offset for offset in step)], index[there]
        both = (one >= 0) & (other >= 0)
        rows.append(one[both])
        columns.append(other[both])
        lengths.append(np.full(np.count_nonzero(both), np.linalg.norm(size * step)))
    nodes = int(index.max()) + 1
    return coo_array((np.concatenate(lengths), (np.concatenate(rows), np.concatenate(columns))), (nodes, nodes)).tocsr()


def _half_of_neighbours() -> Iterator[Triple]:
    """13 of the 26 steps to neighbours; the others are their opposites."""
    for number in range(14, 27):
        yield triple((number // 9 - 1, number // 3 % 3 - 1, number % 3 - 1))
