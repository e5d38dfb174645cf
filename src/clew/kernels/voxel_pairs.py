"""Pairs of voxels in which two basins touch, in strict order (see `_flags`).

Kruskal's method goes through them.
"""

from typing import NamedTuple

import numpy as np

from clew.kernels._flags import FAR, NOTHING, RANKS, SEEDED, STEP_BITS
from clew.kernels._jit import at, bare_kernel, inline

CHUNK = 1 << 22
"""Pairs collected before another array is begun, so that none grows. 6 bytes a pair until they are sorted, then 8 (12 with
indices): a sixth less memory than with basins from the start."""
FARTHEST = 1 << 30
"""A chunk covers fewer voxels: 4 · voxel + channel is kept in 32 bits."""
RECENT = 1 << 12
"""Pairs of basins remembered (a power of two), to leave out many of the pairs that a better one has outdone: of noisy affinities
of 250³ voxels 18 instead of 22 million are kept, a seventh less memory."""
_SPREAD = 40503
"""An odd number near 2¹⁶ / golden ratio (Knuth): basins whose numbers follow each other get slots far apart."""
_CHANNEL, _CHANNEL_BITS = 3, 2


class Pairs(NamedTuple):
    """Pairs of voxels of two basins in strict order.

    Parameters
    ----------
    ends : (pairs, 2) uint32 or int64
        The two basins.
    indices : (pairs,) uint32
        None where they were not asked for.
    stops : (RANKS,) int64
        The row after the last pair of each rank.
    """

    ends: np.ndarray
    indices: np.ndarray
    stops: np.ndarray

    def ranks(self, rows: np.ndarray) -> np.ndarray:
        """(rows,) uint16: the ranks of the pairs in some rows."""
        return np.searchsorted(self.stops, rows, side="right").astype(np.uint16)


class _Volume(NamedTuple):
    """What the walk reads.

    Parameters
    ----------
    levels : (3, voxels) uint8
    basins : (voxels,) uint32 or int64, 0 for none
    kinds : (basins + 1,) uint8
    steps : (voxels,) uint8, outward
    back : (3,) uint64, from a voxel to its predecessors in z, y and x
    height, width : rows of a section, voxels of a row
    """

    levels: np.ndarray
    basins: np.ndarray
    kinds: np.ndarray
    steps: np.ndarray
    back: np.ndarray
    height: int
    width: int


class _Recent(NamedTuple):
    """Two basins and the best pair of them lately, by hash.

    Any may be overwritten: then a pair too many is kept.
    """

    ones: np.ndarray
    others: np.ndarray
    best: np.ndarray


class _Chunk(NamedTuple):
    """Pairs as they are found.

    (room,) uint32 4 · voxel + channel counted from the chunk's first voxel, (room,) uint16 rank.
    """

    codes: np.ndarray
    ranks: np.ndarray


def touching_pairs(
    affinities: np.ndarray,
    basins: np.ndarray,
    kinds: np.ndarray,
    steps: np.ndarray,
    low: int,
    per_section: bool,
    *,
    indexed: bool = False,
) -> Pairs:
    """Pairs of voxels of two basins with affinity ≥ `low`, in strict order.

    The basins are not both seeded. Pairs of affinity 0 are left out where either voxel is `FAR`, or both basins hold something.

    Pairs that come after another pair of the same two basins are left out where that is noticed cheaply.

    Parameters
    ----------
    affinities : (3, z, y, x) uint8
    basins : (voxels,) uint32 or int64
        Index of each voxel's basin, 0 for none.
    kinds : (basins + 1,) uint8
        What each basin holds.
    steps : (z, y, x) uint8
        Outward, 0..FAR.
    low : int
    per_section : bool
        Pairs in the plane only.
    indexed : bool
        Whether indices are wanted; fewer than 2³² / 3 voxels then.

    Returns
    -------
    Pairs
    """
    if (kinds[1:] == SEEDED).all():  # no pair can join two of them: a block's affinity watershed took 1.6 times as long
        return Pairs(np.empty((0, 2), basins.dtype), np.empty(0, np.uint32), np.zeros(RANKS, np.int64))
    _, depth, height, width = affinities.shape
    back = np.array([height * width, width, 1], np.uint64)
    volume = _Volume(affinities.reshape(3, -1), basins, kinds, steps.reshape(-1), back, height, width)
    counts = np.zeros(RANKS, np.int64)
    recent = _Recent(np.zeros(RECENT, basins.dtype), np.zeros(RECENT, basins.dtype), np.zeros(RECENT, np.uint16))
    contacts, room = np.empty(3 * width + 1, np.uint32), min(CHUNK, 3 * basins.size) + 3 * width + 1
    chunks, row = [], 0
    while row < depth * height:
        chunk = _Chunk(np.empty(room, np.uint32), np.empty(room, np.uint16))
        rows = row, min(row + FARTHEST // width, depth * height)
        row, found = _collect(volume, low, not per_section, rows, recent, contacts, counts, chunk)
        chunks.append((_Chunk(chunk.codes[:found], chunk.ranks[:found]), rows[0] * width))
    ends = np.empty((counts.sum(), 2), basins.dtype)
    indices = np.empty(len(ends) if indexed else 0, np.uint32)
    stops = counts.cumsum() - counts
    for chunk, start in chunks:
        _sort(volume, chunk, start, stops, ends, indices)
    return Pairs(ends, indices, stops)


@inline
def _find_contacts(row, above, before, contacts):
    """Write 4 · x + channel of all pairs of a row whose basins differ.

    Returns how many there are.

    Each code is written where the next one belongs, and stays if it counts: no branch depends on the voxels.
    """
    count, previous, code = at(0), row[0], np.uint32(0)
    for x in range(row.size):
        here = row[x]
        contacts[count] = code
        count += at(here != above[x])
        contacts[count] = code + np.uint32(1)
        count += at(here != before[x])
        contacts[count] = code + np.uint32(2)
        count += at(here != previous)
        previous = here
        code += np.uint32(4)
    return count


@inline
def _outdone(recent, one, other, rank):
    """1 where a pair of no later rank was seen lately between the two basins.

    Remembers this one.
    """
    slot = ((at(one) * at(_SPREAD)) ^ at(other)) & at(RECENT - 1)
    again = (recent.ones[slot] == one) & (recent.others[slot] == other)
    best = recent.best[slot] if again else np.uint16(RANKS)
    recent.ones[slot] = one
    recent.others[slot] = other
    recent.best[slot] = min(best, rank)
    return rank >= best


@bare_kernel
def _collect(volume, low, across, rows, recent, contacts, counts, chunk):
    """Collect pairs of some rows; returns (next row, pairs found).

    It stops after the last row, or when the chunk is nearly full.
    """
    basins, kinds, steps, width = volume.basins, volume.kinds, volume.steps, volume.width
    plane = volume.height * width
    found = at(0)
    row, last = rows
    first = row * width
    while row < last and chunk.codes.size - np.int64(found) > 3 * width:
        start = np.int64(row) * width
        here = basins[start : start + width]
        # where there is no row before, a row is compared with itself: no contact
        above = here if row < volume.height or not across else basins[start - plane : start - plane + width]
        ahead = here if row % volume.height == 0 else basins[start - width : start]
        base = np.uint32(4 * (start - first))
        for i in range(_find_contacts(here, above, ahead, contacts)):
            channel = at(contacts[i] & _CHANNEL)
            voxel = at(start) + at(contacts[i] >> _CHANNEL_BITS)
            before = voxel - volume.back[channel]
            strength = volume.levels[channel, voxel]
            one, other = basins[voxel], basins[before]
            near, far = steps[voxel], steps[before]
            least = min(kinds[at(one)], kinds[at(other)])
            use = (strength >= low) & (one != 0) & (other != 0) & (least < SEEDED)
            use &= (strength > 0) | ((least == NOTHING) & (near < FAR) & (far < FAR))
            rank = np.uint16(((255 - np.int64(strength)) << STEP_BITS) | (np.int64(near) + np.int64(far)))
            use = use and not _outdone(recent, one, other, rank)
            chunk.codes[found] = base + contacts[i]
            chunk.ranks[found] = rank
            found += at(use)
            counts[rank] += np.int64(use)
        row += 1
    return row, np.int64(found)


@bare_kernel
def _sort(volume, chunk, start, starts, ends, indices):
    """Write the basins (and indices) of the pairs of a chunk where they belong.

    The chunk begins with the voxel `start`.
    """
    for i in range(chunk.codes.size):
        place = at(starts[chunk.ranks[i]])
        starts[chunk.ranks[i]] += 1
        channel = at(chunk.codes[i] & _CHANNEL)
        voxel = at(start) + at(chunk.codes[i] >> _CHANNEL_BITS)
        ends[place, 0] = volume.basins[voxel]
        ends[place, 1] = volume.basins[voxel - volume.back[channel]]
        if indices.size:
            indices[place] = np.uint32(at(3) * voxel + channel)
