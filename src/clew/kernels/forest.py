"""Pairs of voxels in which two basins touch, in strict order: what Kruskal's method goes through."""

from typing import NamedTuple

import numpy as np

from clew.kernels._jit import inline, kernel

_U = np.uint64

CHUNK = 1 << 22
"""Pairs collected before another array is begun."""

FARTHEST = 1 << 30
"""A chunk covers fewer voxels: 4 · voxel + channel is kept in 32 bits."""

RECENT = 1 << 12
"""Pairs of basins remembered (a power of two), to leave out most of the pairs that a better one has outdone."""


class Pairs(NamedTuple):
    """Pairs of voxels of two basins in strict order: strongest first, ties by the pair's index 3 · voxel + channel.

    ends : (pairs, 2) uint32 or int64, the two basins; indices : (pairs,) uint32, or none where they were not asked for;
    stops : (256,) int64, the row after the last pair of each strength.
    """

    ends: np.ndarray
    indices: np.ndarray
    stops: np.ndarray

    def strengths(self, rows: np.ndarray) -> np.ndarray:
        """(rows,) uint8: the affinities of the pairs in some rows."""
        return (255 - np.searchsorted(self.stops[::-1], rows, side="right")).astype(np.uint8)


def touching_pairs(
    affinities: np.ndarray,
    numbers: np.ndarray,
    seeded: np.ndarray,
    low: int,
    per_section: bool,
    *,
    indexed: bool = False,
) -> Pairs:
    """Pairs of voxels of two basins that are not both seeded, with affinity ≥ `low`, in strict order.

    Pairs that come after another pair of the same two basins are left out where that is noticed cheaply.

    Parameters
    ----------
    affinities : (3, z, y, x) uint8
    numbers : (voxels,) uint32 or int64
        Number of each voxel's basin, 0 for none.
    seeded : (basins + 1,) uint8
    per_section
        Pairs in the plane only.
    indexed
        Whether indices are wanted; fewer than 2³² / 3 voxels then.
    """
    if seeded[1:].all():  # no pair can join two of them: an affinity watershed in blocks took 1.5 times as long before
        return Pairs(np.empty((0, 2), numbers.dtype), np.empty(0, np.uint32), np.zeros(256, np.int64))
    shape = affinities.shape[1:]
    levels = affinities.reshape(3, -1)
    counts = np.zeros(256, np.int64)
    recent = (np.zeros(RECENT, numbers.dtype), np.zeros(RECENT, numbers.dtype), np.zeros(RECENT, np.uint8))
    room = min(CHUNK, 3 * numbers.size) + 3 * shape[2] + 1
    chunks = []
    row = 0
    while row < shape[0] * shape[1]:
        chunk = codes, strengths = np.empty(room, np.uint32), np.empty(room, np.uint8)
        rows = row, min(row + FARTHEST // shape[2], shape[0] * shape[1])
        row, found = _collect_pairs(levels, numbers, shape, seeded, low, per_section, rows, recent, counts, chunk)
        chunks.append((codes[:found], strengths[:found], rows[0] * shape[2]))
    ends = np.empty((counts.sum(), 2), numbers.dtype)
    indices = np.empty(len(ends) if indexed else 0, np.uint32)
    stops = counts[::-1].cumsum()[::-1] - counts
    for codes, strengths, start in chunks:
        _sort_pairs(codes, strengths, start, numbers, shape, stops, ends, indices)
    return Pairs(ends, indices, stops)


@inline
def _find_contacts(row, above, before, contacts):
    """Write 4 · x + channel of all pairs of a row whose labels differ; returns how many. Without branches."""
    count = _U(0)
    previous = row[0]
    code = np.uint32(0)
    for x in range(row.size):
        here = row[x]
        contacts[count] = code
        count += _U(here != above[x])
        contacts[count] = code + np.uint32(1)
        count += _U(here != before[x])
        contacts[count] = code + np.uint32(2)
        count += _U(here != previous)
        previous = here
        code += np.uint32(4)
    return count


@kernel
def _collect_pairs(affinities, numbers, shape, seeded, low, per_section, rows, recent, counts, chunk):
    """Collect pairs of some rows (first, last + 1), until the chunk is nearly full; returns (next row, pairs found).

    A pair is kept as 4 · voxel + channel, counted from the first voxel, and its strength.
    """
    _, height, width = shape
    steps = np.array([height * width, width, 1], np.uint64)
    contacts = np.empty(3 * width + 1, np.uint32)
    recent_ones, recent_others, recent_best = recent
    codes, strengths = chunk
    found = _U(0)
    first, last = rows
    row = first
    while row < last and codes.size - np.int64(found) > 3 * width:
        start = np.int64(row) * width
        here = numbers[start : start + width]
        above = (
            here if row < height or per_section else numbers[start - height * width : start - height * width + width]
        )
        before = here if row % height == 0 else numbers[start - width : start]
        base = np.uint32(4 * (start - first * width))
        for i in range(_find_contacts(here, above, before, contacts)):
            channel = _U(contacts[i] & 3)
            voxel = _U(start) + _U(contacts[i] >> 2)
            strength = affinities[channel, voxel]
            one = numbers[voxel]
            other = numbers[voxel - steps[channel]]
            place = ((_U(one) * _U(40503)) ^ _U(other)) & _U(RECENT - 1)
            again = (recent_ones[place] == one) & (recent_others[place] == other)
            best = recent_best[place] * np.uint8(again)
            recent_ones[place] = one
            recent_others[place] = other
            recent_best[place] = max(best, strength)
            use = (strength >= low) & (one != 0) & (other != 0) & ((seeded[_U(one)] & seeded[_U(other)]) == 0)
            use &= (not again) | (strength > best)
            codes[found] = base + contacts[i]
            strengths[found] = strength
            found += _U(use)
            counts[strength] += np.int64(use)
        row += 1
    return row, np.int64(found)


@kernel
def _sort_pairs(codes, strengths, start, numbers, shape, starts, ends, indices):
    """Write the basins (and indices) of the pairs of a chunk that begins with the voxel `start` where they belong."""
    _, height, width = shape
    steps = np.array([height * width, width, 1], np.uint64)
    for i in range(codes.size):
        place = _U(starts[strengths[i]])
        starts[strengths[i]] += 1
        channel = _U(codes[i] & 3)
        voxel = _U(start) + _U(codes[i] >> 2)
        ends[place, 0] = numbers[voxel]
        ends[place, 1] = numbers[voxel - steps[channel]]
        if indices.size:
            indices[place] = np.uint32(_U(3) * voxel + channel)
