"""MALIS in its general form: a label may stand in several components.

It is the reference of the constrained kernel.

The labelled voxels of a component are a list; where two components meet, the list of the smaller one is put behind that
of the larger one. So all that a component ever takes in lies behind its first voxel, in the order in which it came,
and one array of counts by label, walked along each list, tells how many voxels of one label meet at each edge. Each voxel
is walked once per list that it is in, and lists at least double: n log n for any number of labels.
"""

from typing import NamedTuple

import numpy as np

from clew.kernels._jit import inline, kernel
from clew.kernels._union_find import root


class _Joins(NamedTuple):
    """Room for the joins that bring pairs, each (voxels,) int64.

    The edge, the first voxel of the larger component, and the labelled voxels of the smaller one.
    """

    edges: np.ndarray
    heads: np.ndarray
    sizes: np.ndarray


@inline
def _join_components(order, steps, labels, different, joins, following):
    """Kruskal over edges in `order`; returns how many joins bring pairs.

    following (voxels,) receives the next voxel of the list, or -1; different[edge] the pairs of labelled voxels.
    """
    voxels = labels.shape[0]
    parent, size = np.arange(voxels), np.empty(voxels, np.int64)
    head, tail = np.arange(voxels), np.arange(voxels)
    for i in range(voxels):
        size[i] = labels[i] != 0
        following[i] = -1
    count = np.int64(0)
    for edge in order:
        channel = edge // voxels
        voxel = edge - channel * voxels
        a, b = root(parent, voxel), root(parent, voxel - steps[channel])
        if a == b:
            continue
        # the larger list goes on, so that a voxel is walked at most log2 n times
        if size[a] < size[b]:
            a, b = b, a
        parent[b] = a
        if size[b] == 0:
            continue
        different[edge] = size[a] * size[b]
        joins.edges[count], joins.heads[count], joins.sizes[count] = edge, head[a], size[b]
        count += 1
        following[tail[a]] = head[b]
        tail[a] = tail[b]
        size[a] += size[b]
    return count


@inline
def _list_labels(labels, following, ordered, place):
    """Labels in the order of the lists, and where in it each voxel is."""
    first = np.ones(labels.shape[0], np.bool_)
    for i in range(labels.shape[0]):
        if following[i] >= 0:
            first[following[i]] = False
    end = np.int64(0)
    for i in range(labels.shape[0]):
        voxel = np.int64(i) if first[i] and labels[i] != 0 else np.int64(-1)
        while voxel >= 0:
            ordered[end], place[voxel] = labels[voxel], end
            end += 1
            voxel = following[voxel]


@inline
def _count_equal(ordered, middle, end, counts):
    """Add the labels from `middle` to `end` to the counts; returns their pairs.

    These are pairs with the labels counted before.
    """
    equal = np.int64(0)
    for i in range(middle, end):
        equal += counts[ordered[i]]
    for i in range(middle, end):
        counts[ordered[i]] += 1
    return equal


@inline
def _chain_joins(joins, number, first, following):
    """Chain the joins of each list in their order.

    first[voxel] is the first one, -1 for none; following[k] the next.
    """
    first[:] = -1
    for k in range(number - 1, -1, -1):
        following[k] = first[joins.heads[k]]
        first[joins.heads[k]] = k


@kernel
def count_pairs_by_label(
    order: np.ndarray, steps: np.ndarray, labels: np.ndarray, same: np.ndarray, different: np.ndarray
) -> None:
    """Pairs of equal and of different label per edge of the forest.

    Parameters
    ----------
    order : (edges,) int64
        Numbers of the edges, counted through (3, z, y, x), the strongest first.
    steps : (3,) int64
        Distance to the other voxel per channel.
    labels : (voxels,) int64
        Up to the number of voxels; 0 = background.
    same, different : (3 · voxels,) int64
        Zeroed; receive the pairs of equal and of different non-zero label whose maximin edge each one is.
    """
    voxels = labels.shape[0]
    joins = _Joins(np.empty(voxels, np.int64), np.empty(voxels, np.int64), np.empty(voxels, np.int64))
    following = np.empty(voxels, np.int64)
    number = _join_components(order, steps, labels, different, joins, following)
    ordered, place = np.empty(voxels, np.int64), np.empty(voxels, np.int64)
    _list_labels(labels, following, ordered, place)
    first_join, next_join = np.empty(voxels, np.int64), np.empty(number, np.int64)
    _chain_joins(joins, number, first_join, next_join)
    counts = np.zeros(voxels + 1, np.int64)
    for voxel in range(voxels):
        k = first_join[voxel]
        if k < 0:
            continue
        end = place[voxel] + 1
        counts[labels[voxel]] = 1
        while k >= 0:
            equal = _count_equal(ordered, end, end + joins.sizes[k], counts)
            same[joins.edges[k]] = equal
            different[joins.edges[k]] -= equal
            end += joins.sizes[k]
            k = next_join[k]
        for i in range(place[voxel], end):
            counts[ordered[i]] = 0
