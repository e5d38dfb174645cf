"""Constrained MALIS: pairs of voxels per edge of the maximum spanning forest, without label histograms.

Both passes are one run of Kruskal. First come the edges inside objects, by strength: components never mix labels, so an
edge joins |a|·|b| pairs of one label. When those are through, every object is one component, and the same union-find
goes on with the edges that are not inside an object, by strength: no label stands in two components, so an edge joins
|a|·|b| pairs of different labels. Sizes count labelled voxels only, so background joins components but brings no pairs.

Edges are records (inverted float bits of the affinity << 32 | edge number): ascending is stronger first, then by
number. They are scattered to buckets of the affinity; within a bucket, edges inside one component are dropped before
the rest is sorted.
"""

import numpy as np

from clew.kernels._jit import inline, kernel

BUCKETS = 2049
"""Buckets of each pass: the exact ones alone, then 2048 equal parts of [0, 1)."""

_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_DIGITS = 1024


@inline
def _bucket(affinity, inside):
    return (
        np.int64(2048) - np.int64(np.int32(affinity * np.float32(2048))) + (np.int64(0) if inside else np.int64(2049))
    )


@kernel
def count_edges(affinities, labels, valid, masked, counts):
    """Count the edges of each bucket into counts (2 · BUCKETS,) int64: first inside objects, then the others.

    affinities (3, z, y, x) float32 in [0, 1], labels (z, y, x) uint64; valid (3, z, y, x) bool, read only if `masked`.
    """
    _, depth, height, width = affinities.shape
    for c in range(3):
        first = np.int64(c == 2)
        for z in range(np.int64(c == 0), depth):
            for y in range(np.int64(c == 1), height):
                affinity, here = affinities[c, z, y], labels[z, y]
                there = labels[z - np.int64(c == 0), y - np.int64(c == 1)]
                for x in range(first, width):
                    if masked and not valid[c, z, y, x]:
                        continue
                    inside = (here[x] == there[x - first]) & (here[x] != 0)
                    counts[_bucket(affinity[x], inside)] += 1


@kernel
def scatter_edges(affinities, bits, labels, valid, masked, fill, records):
    """Write the records of all edges, bucket after bucket; fill (2 · BUCKETS,) int64 is where each bucket goes on.

    bits is affinities as uint32.
    """
    _, depth, height, width = affinities.shape
    for c in range(3):
        first = np.int64(c == 2)
        for z in range(np.int64(c == 0), depth):
            for y in range(np.int64(c == 1), height):
                affinity, bit, here = affinities[c, z, y], bits[c, z, y], labels[z, y]
                there = labels[z - np.int64(c == 0), y - np.int64(c == 1)]
                number = ((c * depth + z) * height + y) * width
                for x in range(first, width):
                    if masked and not valid[c, z, y, x]:
                        continue
                    inside = (here[x] == there[x - first]) & (here[x] != 0)
                    bucket = np.uint64(_bucket(affinity[x], inside))
                    key = np.uint64(0x7FFFFFFF) - np.uint64(bit[x] & np.uint32(0x7FFFFFFF))
                    records[np.uint64(fill[bucket])] = (key << _SHIFT) | np.uint64(number + x)
                    fill[bucket] += 1


@inline
def _find(parent, node):
    """Root of a voxel, halving the path; unsigned indices spare the check for negative ones."""
    here = np.uint64(node)
    up = np.uint64(parent[here])
    while up != here:
        over = np.uint64(parent[up])
        parent[here] = np.uint32(over)
        here = over
        up = np.uint64(parent[here])
    return here


@inline
def _scatter_digit(source, target, shift, counts):
    """Stable scatter of records by ten bits of their key."""
    for k in range(_DIGITS):
        counts[k] = 0
    for i in range(source.shape[0]):
        counts[(source[i] >> shift) & np.uint64(1023)] += 1
    total = np.int64(0)
    for k in range(_DIGITS):
        here = counts[k]
        counts[k] = total
        total += here
    for i in range(source.shape[0]):
        digit = (source[i] >> shift) & np.uint64(1023)
        target[np.uint64(counts[digit])] = source[i]
        counts[digit] += 1


@kernel
def sort_bucket(records, spare, counts):
    """Sort records whose edges of equal key are in order already: only the bits in which the keys differ count."""
    size = records.shape[0]
    varying = np.uint64(0)
    for i in range(1, size):
        varying |= records[i] ^ records[0]
    varying >>= _SHIFT
    length = np.int64(0)
    while varying > 0:
        varying >>= np.uint64(1)
        length += 1
    if length == 0:
        return
    if size > 48:
        shift = np.int64(32) if size > 4096 else max(np.int64(32), 22 + length)
        while shift < 32 + length:
            _scatter_digit(records, spare, np.uint64(shift), counts)
            for i in range(size):
                records[i] = spare[i]
            shift += 10
        if size > 4096:
            return
    for i in range(1, size):
        record = records[i]
        j = i - 1
        while j >= 0 and records[j] > record:
            records[j + 1] = records[j]
            j -= 1
        records[j + 1] = record


@inline
def _ends(record, voxels, plane, width, parent):
    """Edge number and the roots of both ends."""
    edge = np.int64(record & _LOW)
    second, third = edge >= voxels, edge >= 2 * voxels
    voxel = edge - (voxels if second else 0) - (voxels if third else 0)
    step = np.int64(1) if third else (width if second else plane)
    return edge, _find(parent, voxel), _find(parent, voxel - step)


@kernel
def count_pairs(records, bounds, shape, labels, parent, size, spare, counts, pairs, totals):
    """Kruskal over all buckets.

    records as scattered, bounds (2 · BUCKETS + 1,) int64, shape (3,) int64, labels (voxels,) uint64; parent and size
    (voxels,) uint32, spare (largest bucket,) uint64 and counts (1024,) int64 are room to work in. pairs (3 · voxels,)
    int64, zeroed, receives the pairs of each edge, those of different labels as negative numbers; totals (2,) int64 the
    sums of both kinds.
    """
    width, plane = shape[2], shape[1] * shape[2]
    voxels = shape[0] * plane
    for i in range(voxels):
        parent[i] = i
        size[i] = labels[i] != 0
    for bucket in range(bounds.shape[0] - 1):
        first, kept = bounds[bucket], bounds[bucket]
        for i in range(first, bounds[bucket + 1]):
            record = records[np.uint64(i)]
            _, a, b = _ends(record, voxels, plane, width, parent)
            if a != b:
                records[np.uint64(kept)] = record
                kept += 1
        if kept - first > 1:
            sort_bucket(records[first:kept], spare, counts)
        negative = bucket >= BUCKETS
        for i in range(first, kept):
            edge, a, b = _ends(records[np.uint64(i)], voxels, plane, width, parent)
            if a == b:
                continue
            joined = np.int64(size[a]) * np.int64(size[b])
            totals[np.int64(negative)] += joined
            pairs[np.uint64(edge)] = -joined if negative else joined
            if size[a] < size[b]:
                a, b = b, a
            parent[b] = np.uint32(a)
            size[a] += size[b]


@kernel
def weigh_pairs(pairs, totals, weights):
    """Divide each pass by its own sum: weights (edges,) float, negative for the negative pass."""
    positive = 1.0 / totals[0] if totals[0] > 0 else 0.0
    negative = 1.0 / totals[1] if totals[1] > 0 else 0.0
    for i in range(pairs.shape[0]):
        weights[i] = pairs[i] * (positive if pairs[i] > 0 else negative)
