"""Seeded maximum spanning forest of a part of a volume: what can be decided there, and what has to wait.

Numbers of components count from 1; number 0 is none, and stands for all seeds together where waiting pairs are thinned.
"""

import numpy as np

from clew.kernels._jit import inline, kernel

_U = np.uint64

CHUNK = 1 << 22
"""Pairs collected before another array is begun."""

RECENT = 1 << 12
"""Pairs of basins remembered (a power of two), to leave out most of the pairs that a better one has outdone."""


def ordered_pairs(
    affinities: np.ndarray, numbers: np.ndarray, seeded: np.ndarray, low: int, per_section: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of voxels of two basins that are not both seeded, with affinity ≥ `low`, in strict order.

    Parameters
    ----------
    affinities : (3, z, y, x) uint8
    numbers : (voxels,) uint32
        Number of each voxel's basin, 0 for none; fewer than 2³⁰ voxels.
    seeded : (basins + 1,) uint8
    per_section
        Pairs in the plane only.

    Returns
    -------
    pairs : (pairs, 2) uint32
        The two basins, strongest first, ties by index. Pairs that come after another pair of the same two basins are
        left out where that is noticed cheaply.
    indices : (pairs,) uint32
        3 · voxel + channel.
    strengths : (pairs,) uint8
    """
    shape = affinities.shape[1:]
    levels = affinities.reshape(3, -1)
    counts = np.zeros(256, np.int64)
    recent = (np.zeros((RECENT, 2), np.uint32), np.zeros(RECENT, np.uint8))
    room = min(CHUNK, 3 * numbers.size) + 3 * shape[2] + 1
    chunks = []
    row = 0
    while row < shape[0] * shape[1]:
        chunk = (np.empty((room, 3), np.uint32), np.empty(room, np.uint8))
        row, found = _collect(levels, numbers, shape, seeded, low, per_section, row, recent, counts, chunk)
        chunks.append([part[:found] for part in chunk])
    sorted_pairs = np.empty((counts.sum(), 3), np.uint32)
    starts = counts[::-1].cumsum()[::-1] - counts
    for chunk in chunks:
        _sort(*chunk, starts, sorted_pairs)
    strengths = np.repeat(np.arange(255, -1, -1, dtype=np.uint8), counts[::-1])
    return sorted_pairs[:, :2], sorted_pairs[:, 2], strengths


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
def _collect(affinities, numbers, shape, seeded, low, per_section, row, recent, counts, chunk):
    """Collect pairs from row number `row` on, until the chunk is nearly full; returns (next row, pairs found)."""
    depth, height, width = shape
    steps = np.array([height * width, width, 1], np.uint64)
    contacts = np.empty(3 * width + 1, np.uint32)
    recent_pairs, recent_best = recent
    pairs, strengths = chunk
    found = _U(0)
    while row < depth * height and strengths.size - np.int64(found) > 3 * width:
        start = np.int64(row) * width
        here = numbers[start : start + width]
        above = here
        if row >= height and not per_section:
            above = numbers[start - height * width : start - height * width + width]
        before = here if row % height == 0 else numbers[start - width : start]
        for i in range(_find_contacts(here, above, before, contacts)):
            channel = _U(contacts[i] & 3)
            voxel = _U(start) + _U(contacts[i] >> 2)
            strength = affinities[channel, voxel]
            one = numbers[voxel]
            other = numbers[voxel - steps[channel]]
            place = ((_U(one) * _U(40503)) ^ _U(other)) & _U(RECENT - 1)
            again = (recent_pairs[place, 0] == one) & (recent_pairs[place, 1] == other)
            best = recent_best[place] * np.uint8(again)
            recent_pairs[place, 0] = one
            recent_pairs[place, 1] = other
            recent_best[place] = max(best, strength)
            use = (strength >= low) & (one != 0) & (other != 0) & ((seeded[_U(one)] & seeded[_U(other)]) == 0)
            use &= (not again) | (strength > best)
            pairs[found, 0] = one
            pairs[found, 1] = other
            pairs[found, 2] = np.uint32(_U(3) * voxel + channel)
            strengths[found] = strength
            found += _U(use)
            counts[strength] += np.int64(use)
        row += 1
    return row, np.int64(found)


@kernel
def _sort(pairs, strengths, starts, result):
    for i in range(strengths.size):
        place = _U(starts[strengths[i]])
        starts[strengths[i]] += 1
        for column in range(3):
            result[place, column] = pairs[i, column]


def decide_pairs(pairs: np.ndarray, seeded: np.ndarray, frozen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kruskal's method where some components may not choose, because not all of their pairs are known.

    A component that is neither seeded nor frozen joins along its best pair. Of the pairs of two others, at least one of
    them without a seed, those are kept that are in the maximum spanning forest of these components, all seeds taken
    for one: no other pair can be chosen later (the weakest pair of a cycle is never in the forest).

    Parameters
    ----------
    pairs : (pairs, 2) unsigned or signed integer
        Components to unite, best first.
    seeded, frozen : (components + 1,) uint8

    Returns
    -------
    roots : (components + 1,), as `pairs`
        The component that each has joined; the seeded or frozen one, where there is one.
    kept : (waiting,) int64
        Rows of the pairs that have to wait, ascending; no more than there are frozen components without a seed.
    """
    parents = np.arange(seeded.size, dtype=pairs.dtype)
    groups = np.where(seeded, pairs.dtype.type(0), parents)
    kept = np.empty(np.count_nonzero(frozen & (seeded == 0)), np.int64)
    count = _decide(pairs, seeded, frozen, parents, groups, kept)
    _flatten(parents)
    return parents, kept[:count]


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
def _decide(pairs, seeded, frozen, parents, groups, kept):
    count = 0
    left = kept.size
    for i in range(1, seeded.size):
        left += (seeded[i] | frozen[i]) == 0
    for i in range(pairs.shape[0]):
        if left == 0:
            break
        one = _root(parents, np.int64(pairs[i, 0]))
        other = _root(parents, np.int64(pairs[i, 1]))
        if one == other or (seeded[_U(one)] and seeded[_U(other)]):
            continue
        if not (seeded[_U(other)] or frozen[_U(other)]):
            parents[_U(other)] = one
            left -= 1
        elif not (seeded[_U(one)] or frozen[_U(one)]):
            parents[_U(one)] = other
            left -= 1
        else:
            group = _root(groups, one)
            other_group = _root(groups, other)
            if group != other_group:
                groups[_U(max(group, other_group))] = min(group, other_group)
                kept[count] = i
                count += 1
                left -= 1
    return count


@kernel
def _flatten(parents):
    for i in range(parents.size):
        parents[i] = _root(parents, np.int64(i))


def unite_numbers(ones: np.ndarray, others: np.ndarray, count: int) -> np.ndarray:
    """(count,) int64: the smallest number of the set of each of 0 … count - 1, after uniting ones[i] with others[i]."""
    parents = np.arange(count, dtype=np.int64)
    _unite(ones, others, parents)
    _flatten(parents)
    return parents


@kernel
def _unite(ones, others, parents):
    for i in range(ones.size):
        one = _root(parents, np.int64(ones[i]))
        other = _root(parents, np.int64(others[i]))
        parents[_U(max(one, other))] = min(one, other)


def look_up(numbers: np.ndarray, table: np.ndarray) -> np.ndarray:
    """`table[numbers]` for (z, y, x) numbers, in C order."""
    result = np.empty(numbers.shape, table.dtype)
    _look_up(numbers, table, result)
    return result


@kernel
def _look_up(numbers, table, result):
    depth, height, width = numbers.shape
    for z in range(depth):
        for y in range(height):
            row = numbers[z, y]
            out = result[z, y]
            for x in range(width):
                out[x] = table[_U(row[x])]
