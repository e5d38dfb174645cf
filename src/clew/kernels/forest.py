"""Seeded maximum spanning forest of a volume or a part of one.

What can be decided there, and what has to wait.

Components have the indices 1, 2, …; index 0 is none, and stands for all seeds together where waiting pairs are thinned.
"""

from typing import NamedTuple

import numpy as np

from clew.kernels._jit import at, bare_kernel
from clew.kernels._union_find import root


class _Forest(NamedTuple):
    """Components while they join.

    Seeded, frozen (components + 1,) uint8; parents (components + 1,), which have joined; groups (components + 1,),
    those of the spanning forest of the waiting pairs, where all seeds are in group 0.
    """

    seeded: np.ndarray
    frozen: np.ndarray
    parents: np.ndarray
    groups: np.ndarray


def decide_pairs(pairs: np.ndarray, seeded: np.ndarray, frozen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kruskal's method where some components may not choose.

    Because not all of their pairs are known.

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
    count = _decide(pairs, _Forest(seeded, frozen, parents, groups), kept)
    _flatten(parents)
    return parents, kept[:count]


@bare_kernel
def _decide(pairs, forest, kept):
    seeded, frozen, parents, groups = forest
    count = 0
    left = kept.size  # each kept pair and each union decides one component: when none is left, no later pair matters
    for i in range(1, seeded.size):
        left += (seeded[i] | frozen[i]) == 0
    for i in range(pairs.shape[0]):
        if left == 0:
            break
        one, other = root(parents, np.int64(pairs[i, 0])), root(parents, np.int64(pairs[i, 1]))
        if one == other or (seeded[at(one)] and seeded[at(other)]):
            continue
        if not (seeded[at(other)] or frozen[at(other)]):
            parents[at(other)] = one
            left -= 1
        elif not (seeded[at(one)] or frozen[at(one)]):
            parents[at(one)] = other
            left -= 1
        else:
            group, other_group = root(groups, one), root(groups, other)
            if group != other_group:
                groups[at(max(group, other_group))] = min(group, other_group)
                kept[count] = i
                count += 1
                left -= 1
    return count


@bare_kernel
def _flatten(parents):
    for i in range(parents.size):
        parents[i] = root(parents, np.int64(i))


def index_roots(roots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices 0, 1, … of the roots, in their order.

    Parameters
    ----------
    roots : (components,), as `decide_pairs` returns them

    Returns
    -------
    indices : (components,), as `roots`
        Index of each one's root.
    used : (indices,) int64
        The roots.
    """
    indices, used = np.empty_like(roots), np.empty(roots.size, np.int64)
    count = _index_roots(roots, indices, used)
    return indices, used[:count].copy()


@bare_kernel
def _index_roots(roots, indices, used):
    count = 0
    for i in range(roots.size):
        if roots[i] == i:
            indices[i] = count
            used[count] = i
            count += 1
    for i in range(roots.size):
        indices[i] = indices[at(roots[i])]
    return count


def smallest(values: np.ndarray, indices: np.ndarray, count: int) -> np.ndarray:
    """The smallest value above 0 at each index 0 … count - 1, (count,) uint64.

    0 for none. The `values` stand at the `indices`.
    """
    result = np.zeros(count, np.uint64)
    _find_smallest(values, indices, result)
    return result


@bare_kernel
def _find_smallest(values, indices, result):
    for i in range(values.size):
        index = at(indices[i])
        if values[i] != 0 and (result[index] == 0 or values[i] < result[index]):
            result[index] = values[i]


def unite_indices(ones: np.ndarray, others: np.ndarray, count: int) -> np.ndarray:
    """The smallest index of the set of each of 0 … count - 1, (count,) int64.

    The sets are those after uniting ones[i] with others[i].
    """
    parents = np.arange(count, dtype=np.int64)
    _unite(ones, others, parents)
    _flatten(parents)
    return parents


@bare_kernel
def _unite(ones, others, parents):
    for i in range(ones.size):
        one, other = root(parents, np.int64(ones[i])), root(parents, np.int64(others[i]))
        parents[at(max(one, other))] = min(one, other)


def look_up(indices: np.ndarray, table: np.ndarray) -> np.ndarray:
    """`table[indices]` for (z, y, x) indices, in C order."""
    result = np.empty(indices.shape, table.dtype)
    _look_up(indices, table, result)
    return result


@bare_kernel
def _look_up(indices, table, result):
    depth, height, width = indices.shape
    for z in range(depth):
        for y in range(height):
            row, out = indices[z, y], result[z, y]
            for x in range(width):
                out[x] = table[at(row[x])]
