"""Constrained MALIS: pairs of voxels per edge of the maximum spanning forest, without label histograms.

Both passes are one run of Kruskal. First come the edges inside objects, by strength: components never mix labels, so an
edge joins |a|·|b| pairs of one label. When those are through, every object is one component, and the same union-find
goes on with the edges that are not inside an object, by strength: no label stands in two components, so an edge joins
|a|·|b| pairs of different labels. Sizes count labelled voxels only, so background joins components but brings no pairs.

The last edge of a cycle is in no spanning forest, so the last one of each unit square is left out before anything is
sorted: about two thirds of all edges, hardly more than those of the forest itself stay.

Edges are records (inverted float bits of the affinity << 32 | edge number): ascending is stronger first, then by
number. They are scattered to buckets of the affinity, and sorted within a bucket when its turn comes.
"""

import numpy as np

from clew.kernels._jit import inline, kernel
from clew.kernels._union_find import sized_root

BUCKETS = 2049
"""Buckets of each pass: the exact ones alone, then 2048 equal parts of [0, 1)."""

_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_MOST_DIGITS = 10


@inline
def _rank_row(bits, here, there, ranks):
    """Order of a row of edges, the last one smallest: 1 + float bits of the affinity, and 2³⁰ more inside an object."""
    for x in range(ranks.shape[0]):
        inside = (here[x] == there[x]) & (here[x] != 0)
        ranks[x] = np.int32(bits[x] & 0x7FFFFFFF) + np.int32(1) + (np.int32(inside) << np.int32(30))


@inline
def _forbid_row(valid, ranks):
    for x in range(ranks.shape[0]):
        ranks[x] *= np.int32(valid[x])


@inline
def _flag_row(rank_z, rank_y, rank_x, flags):
    for x in range(flags.shape[0]):
        flags[x] = (
            np.uint8(rank_z[x] == 0)
            | np.uint8(rank_y[x] == 0) << 1
            | np.uint8(rank_x[x] == 0) << 2
            | np.uint8(rank_z[x] >> 30) << 3
            | np.uint8(rank_y[x] >> 30) << 4
            | np.uint8(rank_x[x] >> 30) << 5
        )


@inline
def _find_last(a, b, c, d, last):
    """Which edge of each square is the last: bit 0 to 3 for a to d, whose edge numbers descend."""
    for x in range(last.shape[0]):
        least = min(min(a[x], b[x]), min(c[x], d[x]))
        of_cd = np.uint8(4) if c[x] == least else np.uint8(8)
        of_bcd = np.uint8(2) if b[x] == least else of_cd
        last[x] = np.uint8(1) if a[x] == least else of_bcd


@inline
def _flag_last(last, which, channel, flags):
    for x in range(flags.shape[0]):
        flags[x] |= ((last[x] >> np.uint8(which)) & np.uint8(1)) << np.uint8(channel)


@kernel
def flag_edges(bits, labels, valid, masked, ranks, last, flags):
    """Flags of the edges of each voxel: bit c for the edge of channel c that no forest needs, bit 3 + c inside an object.

    bits (3, z, y, x) int32 of affinities in [0, 1], labels (z, y, x) uint64; valid (3, z, y, x) bool, read only if
    `masked`; ranks (2, 3, y, x) int32 and last (x,) uint8 are room to work in; flags (z, y, x) uint8.
    """
    _, depth, height, _ = bits.shape
    for z in range(depth):
        now, above = ranks[z % 2], ranks[1 - z % 2]
        for y in range(height):
            rank_z, rank_y, rank_x = now[0, y], now[1, y], now[2, y]
            now[:, y] = 0
            if z > 0:
                _rank_row(bits[0, z, y], labels[z, y], labels[z - 1, y], rank_z)
            if y > 0:
                _rank_row(bits[1, z, y], labels[z, y], labels[z, y - 1], rank_y)
            _rank_row(bits[2, z, y, 1:], labels[z, y, 1:], labels[z, y, :-1], rank_x[1:])
            if masked:
                for c in range(3):
                    _forbid_row(valid[c, z, y], now[c, y])
            here = flags[z, y]
            _flag_row(rank_z, rank_y, rank_x, here)
            if y > 0:
                _find_last(rank_x[1:], now[2, y - 1, 1:], rank_y[1:], rank_y[:-1], last[1:])
                _flag_last(last[1:], 0, 2, here[1:])
                _flag_last(last[1:], 1, 2, flags[z, y - 1, 1:])
                _flag_last(last[1:], 2, 1, here[1:])
                _flag_last(last[1:], 3, 1, here[:-1])
            if z > 0:
                _find_last(rank_x[1:], above[2, y, 1:], rank_z[1:], rank_z[:-1], last[1:])
                _flag_last(last[1:], 0, 2, here[1:])
                _flag_last(last[1:], 1, 2, flags[z - 1, y, 1:])
                _flag_last(last[1:], 2, 0, here[1:])
                _flag_last(last[1:], 3, 0, here[:-1])
            if y > 0 and z > 0:
                _find_last(rank_y, above[1, y], rank_z, now[0, y - 1], last)
                _flag_last(last, 0, 1, here)
                _flag_last(last, 1, 1, flags[z - 1, y])
                _flag_last(last, 2, 0, here)
                _flag_last(last, 3, 0, flags[z, y - 1])


@inline
def _bucket(affinity, inside):
    return (
        np.int64(2048) - np.int64(np.int32(affinity * np.float32(2048))) + (np.int64(0) if inside else np.int64(2049))
    )


@inline
def _list_kept(flags, channel, positions):
    """List where along a row the edges are that a forest may need; returns how many."""
    count = np.int64(0)
    for x in range(flags.shape[0]):
        positions[np.uint64(count)] = x
        count += np.int64((flags[x] >> np.uint8(channel)) & np.uint8(1)) ^ 1
    return count


@kernel
def count_edges(affinities, flags, positions, counts):
    """Count the edges of each bucket into counts (2 · BUCKETS,) int64: first inside objects, then the others.

    affinities (3, z, y, x) float32 in [0, 1], flags as of `flag_edges`; positions (x + 1,) int32 is room to work in.
    """
    _, depth, height, _ = affinities.shape
    for c in range(3):
        for z in range(depth):
            for y in range(height):
                affinity, flag = affinities[c, z, y], flags[z, y]
                for k in range(_list_kept(flag, c, positions)):
                    x = np.uint64(positions[k])
                    counts[_bucket(affinity[x], (flag[x] >> (3 + c)) & 1)] += 1


@kernel
def scatter_edges(affinities, bits, flags, positions, fill, records):
    """Write the records of these edges, bucket after bucket; fill (2 · BUCKETS,) int64 is where each bucket goes on.

    bits is affinities as int32.
    """
    _, depth, height, width = affinities.shape
    for c in range(3):
        for z in range(depth):
            for y in range(height):
                affinity, bit, flag = affinities[c, z, y], bits[c, z, y], flags[z, y]
                number = ((c * depth + z) * height + y) * width
                for k in range(_list_kept(flag, c, positions)):
                    x = np.uint64(positions[k])
                    bucket = np.uint64(_bucket(affinity[x], (flag[x] >> (3 + c)) & 1))
                    key = np.uint64(0x7FFFFFFF) - np.uint64(bit[x] & 0x7FFFFFFF)
                    records[np.uint64(fill[bucket])] = (key << _SHIFT) | (np.uint64(number) + x)
                    fill[bucket] += 1


@inline
def _scatter_digit(source, target, shift, digits, counts):
    """Stable scatter of records by some bits of their key."""
    mask = np.uint64((np.int64(1) << digits) - 1)
    for k in range(mask + 1):
        counts[k] = 0
    for i in range(source.shape[0]):
        counts[(source[i] >> shift) & mask] += 1
    total = np.int64(0)
    for k in range(mask + 1):
        here = counts[k]
        counts[k] = total
        total += here
    for i in range(source.shape[0]):
        digit = (source[i] >> shift) & mask
        target[np.uint64(counts[digit])] = source[i]
        counts[digit] += 1


@inline
def _length(number):
    """Bits that a number takes."""
    length = np.int64(0)
    while number > 0:
        number >>= 1
        length += 1
    return length


@kernel
def sort_bucket(records, spare, counts):
    """Sort records whose edges of equal key are in order already: only the bits in which the keys differ count."""
    size = records.shape[0]
    varying = np.uint64(0)
    for i in range(1, size):
        varying |= records[i] ^ records[0]
    length = _length(np.int64(varying >> _SHIFT))
    if length == 0:
        return
    if size > 24:
        digits = np.int64(_MOST_DIGITS) if size > 4096 else min(np.int64(_MOST_DIGITS), _length(size))
        shift = np.int64(32) if size > 4096 else max(np.int64(32), 32 - digits + length)
        while shift < 32 + length:
            _scatter_digit(records, spare, np.uint64(shift), digits, counts)
            for i in range(size):
                records[i] = spare[i]
            shift += digits
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
def _ends(record, voxels, plane, width, tree):
    """Edge number and the roots of both ends."""
    edge = np.int64(record & _LOW)
    second, third = edge >= voxels, edge >= 2 * voxels
    voxel = edge - (voxels if second else 0) - (voxels if third else 0)
    step = np.int64(1) if third else (width if second else plane)
    return edge, sized_root(tree, voxel), sized_root(tree, voxel - step)


@kernel
def count_pairs(records, bounds, shape, labels, tree, spare, counts, edges, pairs):
    """Kruskal over all buckets; returns how many edges join components inside objects, and how many do at all.

    records as scattered, bounds (2 · BUCKETS + 1,) int64, shape (3,) int64, labels (voxels,) uint64; tree (voxels,) int32,
    spare (largest bucket,) uint64 and counts (1024,) int64 are room to work in. edges (voxels,) uint32 and pairs (voxels,)
    int64 receive the numbers of the edges that join components, in order, and the pairs that each one joins.
    """
    width, plane = shape[2], shape[1] * shape[2]
    voxels = shape[0] * plane
    for i in range(voxels):
        tree[i] = -2 if labels[i] != 0 else -1
    inside, joined = np.int64(0), np.int64(0)
    for bucket in range(bounds.shape[0] - 1):
        if bucket == BUCKETS:
            inside = joined
        first, end = bounds[bucket], bounds[bucket + 1]
        if end - first > 1:
            sort_bucket(records[first:end], spare, counts)
        for i in range(first, end):
            edge, a, b = _ends(records[np.uint64(i)], voxels, plane, width, tree)
            if a == b:
                continue
            one, other = np.int64(tree[a]), np.int64(tree[b])
            edges[np.uint64(joined)] = np.uint32(edge)
            pairs[np.uint64(joined)] = (one + 1) * (other + 1)
            joined += 1
            if one > other:
                a, b = b, a
            tree[b] = a
            tree[a] = one + other + 1
    return inside, joined


@kernel
def place_weights(edges, pairs, scale, weights):
    """Set weights[edges] to pairs · scale; weights (3 · voxels,) float."""
    for i in range(edges.shape[0]):
        weights[np.uint64(edges[i])] = pairs[i] * scale
