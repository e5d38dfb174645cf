"""Constrained MALIS: pairs of voxels per edge of the maximum spanning forest.

It needs no label histograms.

Both passes are one run of Kruskal. First come the edges inside objects, by strength: components never mix labels, so an
edge joins |a|·|b| pairs of one label. When those are through, every object is one component, and the same union-find
goes on with the edges that are not inside an object, by strength: no label stands in two components, so an edge joins
|a|·|b| pairs of different labels. Sizes count labelled voxels only, so background joins components but brings no pairs.

The last edge of a cycle is in no spanning forest, so the last one of each unit square is left out before anything is
sorted: about two thirds of all edges, hardly more than those of the forest itself stay. Without, the weights of 84³ voxels
take 1.9 times as long.

Edges are records (inverted float bits of the affinity << 32 | edge number): ascending is stronger first, then by
number. They are scattered to buckets of the affinity, and sorted within a bucket when its turn comes.
"""

from typing import NamedTuple

import numpy as np

from clew.kernels._jit import at, bare_kernel, inline
from clew.kernels._union_find import sized_root

# a record is key << 32 | edge number; the key is _ALL_BITS - bits of the affinity, whose sign (of -0.0) is left out
_NUMBER, _KEY_SHIFT, _ALL_BITS = np.uint64(0xFFFFFFFF), np.uint64(32), 0x7FFFFFFF
# the rank of an edge is 1 + the bits of its affinity, at most 0x3F800001, and 2³⁰ more inside an object; 0 is no edge
_INSIDE_RANK = 30
# flags of a voxel: bit c where no forest needs its edge of channel c, bit _INSIDE + c where that lies inside an object
_INSIDE = 3
_Z, _Y, _X = 0, 1, 2
"""Channels."""

_PARTS = 2048
"""Equal parts of [0, 1), a bucket each. As many come one after the other, most are sorted within the cache."""
_BUCKETS = _PARTS + 1
"""Buckets of each pass: edges of just 1 alone, which are many after min(A, T) and max(A, T), then the parts."""
_FEW, _MANY = 24, 4096
"""Records up to which a bucket is sorted by insertion; from more than _MANY on by all digits, between by the first one."""
_MOST_DIGITS = 10
"""Bits of a digit: its 1024 counts fit into the first cache beside the records."""


class Forest(NamedTuple):
    """Edges of a maximum spanning forest, in the order in which they join components.

    Parameters
    ----------
    edges : (n,) uint32
        Numbers of the edges, counted through (3, z, y, x).
    pairs : (n,) int64
        Voxel pairs that each one joins: of one label for the first `inside` edges, of different labels for the others.
    inside : int
    """

    edges: np.ndarray
    pairs: np.ndarray
    inside: int


class _Crop(NamedTuple):
    """What is read of a crop.

    Affinities (3, z, y, x) float32, the same as bits int32, labels (z, y, x) uint64, and the edges that count, (3, z,
    y, x) bool, read only if `masked`.
    """

    affinities: np.ndarray
    bits: np.ndarray
    labels: np.ndarray
    valid: np.ndarray
    masked: bool


class _Rows(NamedTuple):
    """Room for rows at hand.

    Ranks (2, 3, y, x) int32 of two sections in turn, the last edge of each square (x,) uint8, columns (x + 1,) int32 of
    the edges that stay.
    """

    ranks: np.ndarray
    last: np.ndarray
    columns: np.ndarray


class _Queue(NamedTuple):
    """Records in buckets that begin at bounds (2 · buckets + 1,) int64.

    Those inside objects come first. Room to sort one in: spare (largest bucket,) uint64, counts (1024,) int64.
    """

    records: np.ndarray
    bounds: np.ndarray
    spare: np.ndarray
    counts: np.ndarray


def spanning_forest(affinities: np.ndarray, labels: np.ndarray, valid: np.ndarray | None) -> Forest:
    """The forests of both passes of constrained MALIS, one after the other.

    Parameters
    ----------
    affinities : (3, z, y, x) float32 in [0, 1]
        Of the offsets (-1, 0, 0), (0, -1, 0), (0, 0, -1); in C order, fewer than 2³² in all.
    labels : (z, y, x) uint64
        0 = background; in C order.
    valid : (3, z, y, x) bool, or None
        The edges that count; those that leave the crop must not. None for all inside the crop.

    Returns
    -------
    Forest
    """
    masked = np.empty((3, 0, 0, 0), bool) if valid is None else valid
    crop = _Crop(affinities, affinities.view(np.int32), labels, masked, valid is not None)
    queue = _queued(crop)
    tree = np.empty(labels.size, np.int32)
    edges, pairs = np.empty(labels.size, np.uint32), np.empty(labels.size, np.int64)
    inside, joined = _join_edges(queue, labels, tree, edges, pairs)
    return Forest(edges[:joined], pairs[:joined], inside)


def _queued(crop: _Crop) -> _Queue:
    """The edges that a forest may need, in buckets."""
    _, height, width = crop.labels.shape
    ranks, last = np.empty((2, 3, height, width), np.int32), np.empty(width, np.uint8)
    rows, flags = _Rows(ranks, last, np.empty(width + 1, np.int32)), np.empty(crop.labels.shape, np.uint8)
    _flag_edges(crop, rows, flags)
    bounds = np.zeros(2 * _BUCKETS + 1, np.int64)
    _count_edges(crop, rows, flags, bounds[1:])
    np.cumsum(bounds, out=bounds)
    records = np.empty(bounds[-1], np.uint64)
    _scatter_edges(crop, rows, flags, bounds[:-1].copy(), records)
    spare, counts = np.empty(int(np.diff(bounds).max()), np.uint64), np.empty(1 << _MOST_DIGITS, np.int64)
    return _Queue(records, bounds, spare, counts)


@inline
def _rank_row(bits, here, there, ranks):
    """Order of a row of edges, the last one smallest."""
    for x in range(ranks.shape[0]):
        inside = (here[x] == there[x]) & (here[x] != 0)
        ranks[x] = np.int32(bits[x] & _ALL_BITS) + np.int32(1) + (np.int32(inside) << np.int32(_INSIDE_RANK))


@inline
def _forbid_row(valid, ranks):
    for x in range(ranks.shape[0]):
        ranks[x] *= np.int32(valid[x])


@inline
def _flag_row(rank_z, rank_y, rank_x, flags):
    for x in range(flags.shape[0]):
        flags[x] = (
            np.uint8(rank_z[x] == 0) << _Z
            | np.uint8(rank_y[x] == 0) << _Y
            | np.uint8(rank_x[x] == 0) << _X
            | np.uint8(rank_z[x] >> _INSIDE_RANK) << (_INSIDE + _Z)
            | np.uint8(rank_y[x] >> _INSIDE_RANK) << (_INSIDE + _Y)
            | np.uint8(rank_x[x] >> _INSIDE_RANK) << (_INSIDE + _X)
        )


@inline
def _find_last(ranks, last):
    """Which edge of each square is the last, as one bit: 0 to 3 for a to d.

    Edge numbers descend from a to d, and of equal edges the one of the largest number is the last: hence a before b.
    """
    a, b, c, d = ranks
    for x in range(last.shape[0]):
        least = min(min(a[x], b[x]), min(c[x], d[x]))
        of_cd = np.uint8(4) if c[x] == least else np.uint8(8)
        of_bcd = np.uint8(2) if b[x] == least else of_cd
        last[x] = np.uint8(1) if a[x] == least else of_bcd


@inline
def _flag_last(last, edge, channel, flags):
    for x in range(flags.shape[0]):
        flags[x] |= ((last[x] >> np.uint8(edge)) & np.uint8(1)) << np.uint8(channel)


@inline
def _flag_squares(ranks, flags, channels, last):
    """Flag the last edge of each square in a row.

    a and b are of the first channel, c and d of the second.

    Which it is is found for the whole row first, and noted without a branch: so both loops are vectorised.
    """
    _find_last(ranks, last)
    _flag_last(last, 0, channels[0], flags[0])
    _flag_last(last, 1, channels[0], flags[1])
    _flag_last(last, 2, channels[1], flags[2])
    _flag_last(last, 3, channels[1], flags[3])


@inline
def _rank_rows(crop, z, y, ranks):
    """Ranks (3, x) of the edges of a row of voxels; 0 where there is no edge."""
    labels, bits = crop.labels, crop.bits
    ranks[:] = 0
    if z > 0:
        _rank_row(bits[_Z, z, y], labels[z, y], labels[z - 1, y], ranks[_Z])
    if y > 0:
        _rank_row(bits[_Y, z, y], labels[z, y], labels[z, y - 1], ranks[_Y])
    _rank_row(bits[_X, z, y, 1:], labels[z, y, 1:], labels[z, y, :-1], ranks[_X, 1:])
    if crop.masked:
        for c in range(3):
            _forbid_row(crop.valid[c, z, y], ranks[c])


@bare_kernel
def _flag_edges(crop, rows, flags):
    """Flag the edges of each voxel, flags (z, y, x) uint8.

    Which no forest needs, and which lie inside an object.
    """
    depth, height, _ = crop.labels.shape
    last = rows.last
    for z in range(depth):
        now, above = rows.ranks[z % 2], rows.ranks[1 - z % 2]
        for y in range(height):
            _rank_rows(crop, z, y, now[:, y])
            along_z, along_y, along_x, here = now[_Z, y], now[_Y, y], now[_X, y], flags[z, y]
            _flag_row(along_z, along_y, along_x, here)
            if y > 0:
                ranks = along_x[1:], now[_X, y - 1, 1:], along_y[1:], along_y[:-1]
                _flag_squares(ranks, (here[1:], flags[z, y - 1, 1:], here[1:], here[:-1]), (_X, _Y), last[1:])
            if z > 0:
                ranks = along_x[1:], above[_X, y, 1:], along_z[1:], along_z[:-1]
                _flag_squares(ranks, (here[1:], flags[z - 1, y, 1:], here[1:], here[:-1]), (_X, _Z), last[1:])
            if y > 0 and z > 0:
                ranks = along_y, above[_Y, y], along_z, now[_Z, y - 1]
                _flag_squares(ranks, (here, flags[z - 1, y], here, flags[z, y - 1]), (_Y, _Z), last)


@inline
def _bucket(affinity, inside):
    part = np.int64(_PARTS) - np.int64(np.int32(affinity * np.float32(_PARTS)))
    return part + (np.int64(0) if inside else np.int64(_BUCKETS))


@inline
def _list_kept(flags, channel, columns):
    """List where along a row the edges are that a forest may need; returns how many."""
    count = np.int64(0)
    for x in range(flags.shape[0]):
        columns[at(count)] = x  # without a branch: two thirds of the edges go, and none can foretell which
        count += np.int64((flags[x] >> np.uint8(channel)) & np.uint8(1)) ^ 1
    return count


@bare_kernel
def _count_edges(crop, rows, flags, counts):
    """Count the edges of each bucket into counts (2 · buckets,) int64.

    First those inside objects, then the others.
    """
    depth, height, _ = flags.shape
    for c in range(3):
        for z in range(depth):
            for y in range(height):
                affinity, flag = crop.affinities[c, z, y], flags[z, y]
                for k in range(_list_kept(flag, c, rows.columns)):
                    x = at(rows.columns[k])
                    counts[at(_bucket(affinity[x], (flag[x] >> (_INSIDE + c)) & 1))] += 1


@bare_kernel
def _scatter_edges(crop, rows, flags, fill, records):
    """Write the records of these edges, bucket after bucket.

    fill (2 · buckets,) int64 is where each bucket goes on.
    """
    depth, height, width = flags.shape
    for c in range(3):
        for z in range(depth):
            for y in range(height):
                affinity, bit, flag = crop.affinities[c, z, y], crop.bits[c, z, y], flags[z, y]
                number = ((c * depth + z) * height + y) * width
                for k in range(_list_kept(flag, c, rows.columns)):
                    x = at(rows.columns[k])
                    bucket = at(_bucket(affinity[x], (flag[x] >> (_INSIDE + c)) & 1))
                    key = np.uint64(_ALL_BITS) - np.uint64(bit[x] & _ALL_BITS)
                    records[at(fill[bucket])] = (key << _KEY_SHIFT) | (np.uint64(number) + x)
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
        target[at(counts[digit])] = source[i]
        counts[digit] += 1


@inline
def _length(number):
    """Bits that a number takes."""
    length = np.int64(0)
    while number > 0:
        number >>= 1
        length += 1
    return length


@bare_kernel
def _sort_bucket(records, spare, counts):
    """Sort records whose edges of equal key are in order already.

    Only the bits in which the keys differ count.
    """
    size = records.shape[0]
    varying = np.uint64(0)
    for i in range(1, size):
        varying |= records[i] ^ records[0]
    length = _length(np.int64(varying >> _KEY_SHIFT))
    if length == 0:
        return
    first_bit = np.int64(_KEY_SHIFT)
    if size > _FEW:
        digits = np.int64(_MOST_DIGITS) if size > _MANY else min(np.int64(_MOST_DIGITS), _length(size))
        shift = first_bit if size > _MANY else max(first_bit, first_bit - digits + length)
        while shift < first_bit + length:
            _scatter_digit(records, spare, np.uint64(shift), digits, counts)
            for i in range(size):
                records[i] = spare[i]
            shift += digits
        if size > _MANY:
            return
    for i in range(1, size):
        record = records[i]
        j = i - 1
        while j >= 0 and records[j] > record:
            records[j + 1] = records[j]
            j -= 1
        records[j + 1] = record


@inline
def _ends(edge, shape, tree):
    """Roots of both ends of an edge, which lies `step` voxels behind its voxel."""
    depth, height, width = shape
    plane = height * width
    voxels = depth * plane
    second, third = edge >= voxels, edge >= 2 * voxels
    voxel = edge - (voxels if second else 0) - (voxels if third else 0)
    step = np.int64(1) if third else (width if second else plane)
    return sized_root(tree, voxel), sized_root(tree, voxel - step)


@bare_kernel
def _join_edges(queue, labels, tree, edges, pairs):
    """Kruskal's method over all buckets; returns how many edges join components.

    First those that join inside objects, then all.

    labels (z, y, x); tree (voxels,) int32 is room to work in. edges (voxels,) uint32 and pairs (voxels,) int64 receive the
    numbers of the edges that join components, in order, and the pairs that each one joins.
    """
    for i, label in enumerate(labels.flat):
        tree[i] = -2 if label != 0 else -1  # -1 - labelled voxels: see `sized_root`
    inside, joined = np.int64(0), np.int64(0)
    for bucket in range(queue.bounds.shape[0] - 1):
        if bucket == _BUCKETS:
            inside = joined
        first, end = queue.bounds[bucket], queue.bounds[bucket + 1]
        if end - first > 1:
            _sort_bucket(queue.records[first:end], queue.spare, queue.counts)
        for i in range(first, end):
            edge = np.int64(queue.records[at(i)] & _NUMBER)
            a, b = _ends(edge, labels.shape, tree)
            if a == b:
                continue
            one, other = np.int64(tree[a]), np.int64(tree[b])
            edges[at(joined)] = np.uint32(edge)
            pairs[at(joined)] = (one + 1) * (other + 1)
            joined += 1
            if one > other:  # the larger component, whose root holds the smaller number, stays root
                a, b = b, a
            tree[b] = a
            tree[a] = one + other + 1
    return inside, joined


@bare_kernel
def place_weights(edges: np.ndarray, pairs: np.ndarray, scale: float, weights: np.ndarray) -> None:
    """Set weights[edges] to pairs · scale.

    Parameters
    ----------
    edges : (n,) uint32
    pairs : (n,) int64
    scale : float
    weights : (3 · voxels,) float32 or float64
    """
    for i in range(edges.shape[0]):
        weights[at(edges[i])] = pairs[i] * scale
