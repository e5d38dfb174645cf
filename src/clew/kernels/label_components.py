"""Connected components (6 neighbours, equal label) by runs.

A run is a stretch of one label along x.
"""

from typing import NamedTuple

import numpy as np

from clew.kernels._jit import bare_kernel, inline
from clew.kernels._union_find import root


class _Runs(NamedTuple):
    """Runs in the order of their first voxels; a row is a line of voxels along x.

    Parameters
    ----------
    first : (rows + 1,) int64
        Runs in all rows before each one.
    starts, ends : (runs,) int32
        Along x; the end is exclusive.
    component : (runs,) int64
        Parents of the union-find, in the end the component.
    """

    first: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    component: np.ndarray


def label_components(labels: np.ndarray) -> np.ndarray:
    """Number the connected components of equal labels.

    Parameters
    ----------
    labels : (z, y, x) uint64
        0 = background; in C order.

    Returns
    -------
    (z, y, x) uint64
        1 .. n in the order of the components' first voxels; 0 stays 0.
    """
    depth, height, width = labels.shape
    rows = labels.reshape(depth * height, width)
    first = np.empty(len(rows) + 1, np.int64)
    _count_runs(rows, first)
    count = int(first[-1])
    runs = _Runs(first, np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.int64))
    _list_runs(rows, runs)
    _join_runs(rows, height, runs)
    result = np.zeros_like(labels)
    _paint_runs(runs, result.reshape(rows.shape))
    return result


@bare_kernel
def _count_runs(labels, first):
    rows, width = labels.shape
    first[0] = 0
    for r in range(rows):
        row = labels[r]
        count = np.int64(row[0] != 0)
        for x in range(1, width):
            count += np.int64((row[x] != row[x - 1]) & (row[x] != 0))
        first[r + 1] = first[r] + count


@bare_kernel
def _list_runs(labels, runs):
    """Write start and end of every run."""
    rows, width = labels.shape
    for r in range(rows):
        row = labels[r]
        k = runs.first[r]
        if k == runs.first[r + 1]:
            continue
        previous = np.uint64(0)
        for x in range(width):
            if row[x] != previous:
                if previous != 0:
                    runs.ends[k] = x
                    k += 1
                previous = row[x]
                if previous != 0:
                    runs.starts[k] = x
        if previous != 0:
            runs.ends[k] = width


@inline
def _join_rows(labels, a, b, runs):
    """Join the runs of row b with those of row a that touch them.

    They must have the same label; a comes before b.
    """
    starts, ends, parents = runs.starts, runs.ends, runs.component
    i, j = runs.first[a], runs.first[b]
    last_i, last_j = runs.first[a + 1], runs.first[b + 1]
    while i < last_i and j < last_j:
        if starts[i] < ends[j] and starts[j] < ends[i] and labels[a, starts[i]] == labels[b, starts[j]]:
            # the smaller run becomes the root, so that components are numbered by their first voxels
            first, second = root(parents, i), root(parents, j)
            if first < second:
                parents[second] = first
            elif second < first:
                parents[first] = second
        if ends[i] <= ends[j]:
            i += 1
        else:
            j += 1


@bare_kernel
def _join_runs(labels, height, runs):
    """Union-find over runs, whose components are numbered 1 .. n in the end."""
    rows, parents = labels.shape[0], runs.component
    for run in range(parents.size):
        parents[run] = run
    for r in range(rows):
        if r % height > 0:
            _join_rows(labels, r - 1, r, runs)
        if r >= height:
            _join_rows(labels, r - height, r, runs)
    count = np.int64(0)
    for run in range(parents.size):
        if parents[run] == run:
            count += 1
            parents[run] = count
        else:
            parents[run] = parents[parents[run]]


@bare_kernel
def _paint_runs(runs, result):
    """Write the components of all runs into result (rows, x), zeroed before."""
    for r in range(result.shape[0]):
        row = result[r]
        for run in range(runs.first[r], runs.first[r + 1]):
            row[runs.starts[run] : runs.ends[run]] = runs.component[run]
