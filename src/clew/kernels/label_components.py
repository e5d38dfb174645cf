"""Connected components (6 neighbours, equal label) by runs: a run is a stretch of one label along x."""

import numpy as np

from clew.kernels._jit import inline, kernel
from clew.kernels._union_find import root


@kernel
def count_runs(labels, first_run):
    """Count the runs of non-zero labels in each row of labels (rows, x) uint64.

    first_run (rows + 1,) int64 receives the number of runs in all rows before each row.
    """
    rows, width = labels.shape
    first_run[0] = 0
    for r in range(rows):
        row = labels[r]
        count = np.int64(row[0] != 0)
        for x in range(1, width):
            count += np.int64((row[x] != row[x - 1]) & (row[x] != 0))
        first_run[r + 1] = first_run[r] + count


@kernel
def list_runs(labels, first_run, starts, ends):
    """Write start and end (exclusive) along x of every run; starts and ends are (runs,) int32."""
    rows, width = labels.shape
    for r in range(rows):
        row = labels[r]
        k = first_run[r]
        if k == first_run[r + 1]:
            continue
        previous = np.uint64(0)
        for x in range(width):
            if row[x] != previous:
                if previous != 0:
                    ends[k] = x
                    k += 1
                previous = row[x]
                if previous != 0:
                    starts[k] = x
        if previous != 0:
            ends[k] = width


@inline
def _join_rows(labels, a, b, first_run, starts, ends, parent):
    """Join the runs of row b with those of row a that touch them under the same label (a before b)."""
    i, j = first_run[a], first_run[b]
    last_i, last_j = first_run[a + 1], first_run[b + 1]
    while i < last_i and j < last_j:
        if starts[i] < ends[j] and starts[j] < ends[i] and labels[a, starts[i]] == labels[b, starts[j]]:
            first, second = root(parent, i), root(parent, j)
            if first < second:
                parent[second] = first
            elif second < first:
                parent[first] = second
        if ends[i] <= ends[j]:
            i += 1
        else:
            j += 1


@kernel
def join_runs(labels, height, first_run, starts, ends, parent):
    """Union-find over runs; parent (runs,) int64 ends as the component number, 1 .. n by first voxel. Returns n."""
    rows = labels.shape[0]
    for run in range(parent.size):
        parent[run] = run
    for r in range(rows):
        if r % height > 0:
            _join_rows(labels, r - 1, r, first_run, starts, ends, parent)
        if r >= height:
            _join_rows(labels, r - height, r, first_run, starts, ends, parent)
    count = np.int64(0)
    for run in range(parent.size):
        if parent[run] == run:
            count += 1
            parent[run] = count
        else:
            parent[run] = parent[parent[run]]
    return count


@kernel
def paint_runs(first_run, starts, ends, component, result):
    """Write the component numbers of all runs into result (rows, x), zeroed before."""
    for r in range(result.shape[0]):
        row = result[r]
        for run in range(first_run[r], first_run[r + 1]):
            row[starts[run] : ends[run]] = component[run]
