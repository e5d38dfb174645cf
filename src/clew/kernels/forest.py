"""Seeded maximum spanning forest of a volume or a part of one.

What can be decided there, and what has to wait.

Components have the indices 1, 2, …; index 0 is none, and stands for all seeds together where waiting pairs are thinned.
"""

from typing import NamedTuple

import numpy as np

from clew.kernels._flags import HELD, SEEDED
from clew.kernels._jit import at, bare_kernel, inline
from clew.kernels._union_find import root


class _Forest(NamedTuple):
    """Components while they join.

    Kinds, frozen (components + 1,) uint8; parents (components + 1,), which have joined; groups (components + 1,),
    those of the spanning forest of the waiting pairs, where all seeds are in group 0.
    """

    kinds: np.ndarray
    frozen: np.ndarray
    parents: np.ndarray
    groups: np.ndarray


class Decisions(NamedTuple):
    """What came of components, and what has to wait.

    Parameters
    ----------
    roots : (components + 1,), as the pairs
        The component that each has joined; the one that could not choose, where there is one.
    kinds : (components + 1,) uint8
        What each root holds now.
    kept : (waiting,) int64
        Rows of the pairs that have to wait, ascending; no more than there are frozen components without a seed.
    """

    roots: np.ndarray
    kinds: np.ndarray
    kept: np.ndarray


def decide_pairs(pairs: np.ndarray, zeros: int, kinds: np.ndarray, frozen: np.ndarray) -> Decisions:
    """Kruskal's method where some components may not choose.

    Because not all of their pairs are known.

    A component that is neither seeded nor frozen joins along its best pair; along a pair of affinity 0 only if it holds nothing,
    for one that holds something is whole then. Of the pairs of two others that may be united, those are kept that are in the
    maximum spanning forest of these components, all that are whole taken for one: no other pair can be chosen later (the
    weakest pair of a cycle is never in the forest).

    Parameters
    ----------
    pairs : (pairs, 2) unsigned or signed integer
        Components to unite, best first.
    zeros : int
        Row of the first pair of affinity 0.
    kinds, frozen : (components + 1,) uint8
        What each component holds, and whether it has to wait.

    Returns
    -------
    Decisions
    """
    kinds = kinds.copy()
    parents = np.arange(kinds.size, dtype=pairs.dtype)
    groups = np.where(kinds == SEEDED, pairs.dtype.type(0), parents)
    kept = np.empty(np.count_nonzero(frozen[kinds < SEEDED]), np.int64)
    count = _decide(pairs, zeros, _Forest(kinds, frozen, parents, groups), kept)
    _flatten(parents)
    return Decisions(parents, kinds, kept[:count])


@inline
def _end_whole(forest):
    """Take what holds something for a seed's, unless it has to wait.

    Returns how many there are.
    """
    count = 0
    for i in range(1, forest.kinds.size):
        if forest.parents[i] == i and forest.kinds[i] == HELD and not forest.frozen[i]:
            forest.groups[i] = 0
            count += 1
    return count


@bare_kernel
def _decide(pairs, zeros, forest, kept):
    kinds, frozen, parents, groups = forest
    count = 0
    whole = SEEDED
    left = 0  # each kept pair and each union decides one component: when none is left, no later pair matters
    for i in range(1, kinds.size):
        left += kinds[i] < SEEDED
    for i in range(pairs.shape[0]):
        if i == zeros:
            whole = HELD
            left -= _end_whole(forest)
        if left == 0:
            break
        one, other = root(parents, np.int64(pairs[i, 0])), root(parents, np.int64(pairs[i, 1]))
        if one == other or (kinds[at(one)] >= whole and kinds[at(other)] >= whole):
            continue
        both = max(kinds[at(one)], kinds[at(other)])
        if not (kinds[at(other)] >= whole or frozen[at(other)]):
            parents[at(other)] = one
            kinds[at(one)] = both
            left -= 1
        elif not (kinds[at(one)] >= whole or frozen[at(one)]):
            parents[at(one)] = other
            kinds[at(other)] = both
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
