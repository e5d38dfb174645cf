"""Seeded maximum spanning forest of a part of a volume: what can be decided there, and what has to wait.

Numbers of components count from 1; number 0 is none, and stands for all seeds together where waiting pairs are thinned.
"""

import numpy as np

from clew.kernels._jit import kernel
from clew.kernels._union_find import root

_U = np.uint64


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


@kernel
def _decide(pairs, seeded, frozen, parents, groups, kept):
    count = 0
    left = kept.size
    for i in range(1, seeded.size):
        left += (seeded[i] | frozen[i]) == 0
    for i in range(pairs.shape[0]):
        if left == 0:
            break
        one = root(parents, np.int64(pairs[i, 0]))
        other = root(parents, np.int64(pairs[i, 1]))
        if one == other or (seeded[_U(one)] and seeded[_U(other)]):
            continue
        if not (seeded[_U(other)] or frozen[_U(other)]):
            parents[_U(other)] = one
            left -= 1
        elif not (seeded[_U(one)] or frozen[_U(one)]):
            parents[_U(one)] = other
            left -= 1
        else:
            group = root(groups, one)
            other_group = root(groups, other)
            if group != other_group:
                groups[_U(max(group, other_group))] = min(group, other_group)
                kept[count] = i
                count += 1
                left -= 1
    return count


@kernel
def _flatten(parents):
    for i in range(parents.size):
        parents[i] = root(parents, np.int64(i))


def number_roots(roots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers 0, 1, … of the roots, in their order.

    Parameters
    ----------
    roots : (components,), as `decide_pairs` returns them

    Returns
    -------
    places : (components,), as `roots`
        Number of each one's root.
    used : (numbers,) int64
        The roots.
    """
    places, used = np.empty(roots.size, roots.dtype), np.empty(roots.size, np.int64)
    count = _number_roots(roots, places, used)
    return places, used[:count].copy()


@kernel
def _number_roots(roots, places, used):
    count = 0
    for i in range(roots.size):
        if roots[i] == i:
            places[i] = count
            used[count] = i
            count += 1
    for i in range(roots.size):
        places[i] = places[_U(roots[i])]
    return count


def smallest(values: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
    """(count,) uint64: the smallest of the `values` that are not 0 at each of the `places` 0 … count - 1; 0 for none."""
    result = np.zeros(count, np.uint64)
    _find_smallest(values, places, result)
    return result


@kernel
def _find_smallest(values, places, result):
    for i in range(values.size):
        place = _U(places[i])
        if values[i] != 0 and (result[place] == 0 or values[i] < result[place]):
            result[place] = values[i]


def unite_numbers(ones: np.ndarray, others: np.ndarray, count: int) -> np.ndarray:
    """(count,) int64: the smallest number of the set of each of 0 … count - 1, after uniting ones[i] with others[i]."""
    parents = np.arange(count, dtype=np.int64)
    _unite(ones, others, parents)
    _flatten(parents)
    return parents


@kernel
def _unite(ones, others, parents):
    for i in range(ones.size):
        one = root(parents, np.int64(ones[i]))
        other = root(parents, np.int64(others[i]))
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
