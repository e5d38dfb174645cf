"""MALIS in its general form: a label histogram per component. The reference of the constrained kernel."""

import numpy as np

from clew.kernels._jit import inline, kernel


@inline
def _find(parent, node):
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@inline
def _join_histograms(head, following, label, count, keep, drop):
    """Merge the sorted list of `drop` into that of `keep`; returns the pairs of equal label between both."""
    equal = np.int64(0)
    a, b, last = head[keep], head[drop], np.int64(-1)
    while b >= 0:
        if a >= 0 and label[a] <= label[b]:
            if label[a] == label[b]:
                equal += count[a] * count[b]
                count[a] += count[b]
                b = following[b]
            last, a = a, following[a]
            continue
        rest = following[b]
        following[b] = a
        if last < 0:
            head[keep] = b
        else:
            following[last] = b
        last, b = b, rest
    return equal


@kernel
def count_pairs_by_histogram(order, steps, labels, same, different):
    """Kruskal over edges in `order`; label histograms are lists sorted by label.

    order (edges,) int64 edge numbers, steps (3,) int64 distance of the other voxel per channel, labels (voxels,)
    uint64; same and different (3 · voxels,) int64, zeroed, receive the pairs of equal and of different non-zero label
    whose maximin edge each one is.
    """
    voxels = labels.shape[0]
    parent, size = np.empty(voxels, np.int64), np.empty(voxels, np.int64)
    head, following, count = np.empty(voxels, np.int64), np.full(voxels, -1, np.int64), np.ones(voxels, np.int64)
    for i in range(voxels):
        parent[i] = i
        size[i] = labels[i] != 0
        head[i] = i if labels[i] != 0 else -1
    for edge in order:
        channel = edge // voxels
        voxel = edge - channel * voxels
        a, b = _find(parent, voxel), _find(parent, voxel - steps[channel])
        if a == b:
            continue
        if size[a] < size[b]:
            a, b = b, a
        pairs = size[a] * size[b]
        same[edge] = _join_histograms(head, following, labels, count, a, b)
        different[edge] = pairs - same[edge]
        parent[b] = a
        size[a] += size[b]
