"""Sparse histograms of contacts as tables: chosen, joined, pooled.

A table is three arrays: (n + 1,) starts, and the bins and counts of all contacts, as in `RegionGraph`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Cells = tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]


def mean_cells(sums: NDArray[np.int64], totals: NDArray[np.int64]) -> Cells:
    """Histograms of at most two bins, side by side, with these sums and totals."""
    values, more = np.divmod(sums, totals)
    cells = np.stack([values, values + 1], axis=1)
    numbers = np.stack([totals - more, more], axis=1)
    used = numbers > 0
    starts = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
    return starts, cells[used].astype(np.uint8), numbers[used]


def joined_cells(parts: Sequence[Cells]) -> Cells:
    """One table of histograms after the other."""
    lengths = np.concatenate([np.diff(starts) for starts, _, _ in parts])
    bins, counts = (np.concatenate([part[column] for part in parts]) for column in (1, 2))
    return np.concatenate([[0], np.cumsum(lengths)]), bins, counts


def chosen_cells(cells: Cells, rows: NDArray[np.int64]) -> Cells:
    """The histograms of some rows, in this order."""
    starts, bins, counts = cells
    lengths = np.diff(starts)[rows]
    new_starts = np.concatenate([[0], np.cumsum(lengths)])
    positions = np.arange(new_starts[-1]) + np.repeat(starts[:-1][rows] - new_starts[:-1], lengths)
    return new_starts, bins[positions], counts[positions]


def pool_contacts(edges: NDArray[Any], cells: Cells, maximum: bool) -> tuple[NDArray[np.int64], Cells]:
    """Pool the rows with the same two regions.

    Histograms are added up, or the largest value is taken. Of each two regions the last row is returned, with the histogram
    of all: where rows are in the order of their keys, it has the largest.
    """
    order = np.lexsort((edges[:, 1], edges[:, 0]))
    again = np.append(False, (edges[order][1:] == edges[order][:-1]).all(axis=1))[: len(order)]
    shared = again | np.append(again[1:], False)
    alone, parts = order[~shared], order[shared]
    last = parts[np.append(~again[shared][1:], True)[: len(parts)]]
    starts, bins, counts = chosen_cells(cells, parts)
    owner = np.repeat(np.cumsum(~again[shared]) - 1, np.diff(starts))
    if maximum:
        largest = np.zeros(len(last), np.uint8)
        np.maximum.at(largest, owner, bins)
        pooled = (np.arange(len(last) + 1), largest, np.ones(len(last), np.int64))
    else:
        pooled = _add_cells(owner, bins, counts, len(last))
    return np.concatenate([alone, last]), joined_cells([chosen_cells(cells, alone), pooled])


def contract_contacts(ends: NDArray[Any], cells: Cells) -> tuple[NDArray[np.int64], Cells]:
    """Pool the contacts of regions that have become one, and drop those within one.

    Rows are in the order of their keys; returned are those whose keys the pooled contacts take, the largest, in this order.
    """
    crossing = np.flatnonzero(ends[:, 0] != ends[:, 1])
    rows, pooled = pool_contacts(np.sort(ends[crossing], axis=1), chosen_cells(cells, crossing), False)
    order = np.argsort(rows)
    return crossing[rows[order]], chosen_cells(pooled, order)


def _add_cells(owner: NDArray[np.int64], bins: NDArray[np.uint8], counts: NDArray[np.int64], rows: int) -> Cells:
    """Sum of the cells of each row."""
    cell_keys = owner * 256 + bins
    order = np.argsort(cell_keys, kind="stable")
    cell_keys = cell_keys[order]
    first = np.flatnonzero(np.diff(cell_keys, prepend=-1))
    sums = np.add.reduceat(counts[order], first) if len(first) else np.zeros(0, np.int64)
    starts = np.searchsorted(cell_keys[first], np.arange(rows + 1) * 256)
    return starts.astype(np.int64), (cell_keys[first] & 255).astype(np.uint8), sums
