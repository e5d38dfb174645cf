"""Overlap of two label volumes: how many voxels carry each pair of ids.

It also says where the voxels of a few pairs lie.

Runs of equal pairs are counted before they are looked up in an open-addressed table; all rows that a stretch of voxels
needs are asked for before the first is looked at: half the time of a look-up for each run as it comes.
"""

from typing import NamedTuple

import numpy as np

from clew.kernels._jit import at, bare_kernel, inline, prefetch
from clew.kernels._table import mixed_ids

_STRETCH = 1024
"""Voxels whose runs are looked up together: their 32 KiB of rows stay in the first cache until it is their turn. A table has
more than twice as many rows."""
_FIRST_ROWS = 4 * _STRETCH

_SEGMENT, _TRUTH, _VOXELS, _COLUMNS = 0, 1, 2, 4
"""Columns of the table; one more makes rows of 32 bytes, of which none lies in two cache lines."""
_ONE = np.uint64(1)


class PairTable(NamedTuple):
    """Table of pairs of ids.

    Parameters
    ----------
    rows : (power of two, 4) uint64
        Segment, truth and voxels, in the place that the hash says; those without voxels are free.
    used : (1,) int64
        Number of the others, at most half of them.
    """

    rows: np.ndarray
    used: np.ndarray

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Segments and truths (pairs,) uint64 and voxels (pairs,) int64, in no order."""
        used = self.rows[self.rows[:, _VOXELS] != 0]
        return used[:, _SEGMENT], used[:, _TRUTH], used[:, _VOXELS].astype(np.int64)


class Extents(NamedTuple):
    """Where the voxels of some pairs lie.

    voxels (pairs,); sums of their z, y, x, smallest and largest z, y, x, (pairs, 3); all int64.
    """

    voxels: np.ndarray
    sums: np.ndarray
    low: np.ndarray
    high: np.ndarray


class _Stretch(NamedTuple):
    """Room for the runs of a stretch.

    Where each begins (one more: the end), and where to begin the search for its pair.
    """

    starts: np.ndarray
    slots: np.ndarray


def new_table(rows: int = _FIRST_ROWS) -> PairTable:
    """An empty table of so many rows, a power of two."""
    memory = np.zeros(_COLUMNS * rows + 8, np.uint64)
    start = -memory.ctypes.data % 64 // 8
    return PairTable(memory[start : start + _COLUMNS * rows].reshape(rows, _COLUMNS), np.zeros(1, np.int64))


def count_pairs(segmentation: np.ndarray, truth: np.ndarray, table: PairTable) -> PairTable:
    """Count the pairs of ids of all voxels, those of truth 0 left out.

    Parameters
    ----------
    segmentation, truth : uint64 of one shape
        In C order.
    table : PairTable
        What was counted before; not to be used afterwards.

    Returns
    -------
    PairTable
        The same, or a larger one.
    """
    segments, truths, position = segmentation.reshape(-1), truth.reshape(-1), 0
    stretch = _Stretch(np.empty(_STRETCH + 1, np.int64), np.empty(_STRETCH, np.uint64))
    while (position := _count(segments, truths, stretch, table, position)) < truths.size:
        larger = new_table(4 * len(table.rows))
        _add_rows(table.rows, larger)
        table = larger
    return table


def extents_of(pairs: np.ndarray) -> tuple[PairTable, Extents]:
    """Table and empty extents for `measure_pairs`.

    Parameters
    ----------
    pairs : (pairs, 2) uint64
        Segment and truth, each pair once.

    Returns
    -------
    PairTable
        1 + the index of each pair stands in place of its voxels.
    Extents
    """
    count = len(pairs)
    table = new_table(2 ** max(4, int(2 * count).bit_length()))
    rows = np.zeros((count, _COLUMNS), np.uint64)
    rows[:, : _TRUTH + 1], rows[:, _VOXELS] = pairs, np.arange(1, count + 1)
    _add_rows(rows, table)
    low, high = np.full((count, 3), np.iinfo(np.int64).max), np.full((count, 3), -1)
    return table, Extents(np.zeros(count, np.int64), np.zeros((count, 3), np.int64), low, high)


@inline
def _first_slot(rows, segment, truth):
    return at(mixed_ids(np.int64(segment), np.int64(truth)) & (rows.shape[0] - 1))


@inline
def _slot(rows, slot, segment, truth):
    """Slot of a pair of ids from its first slot on, or the free one where it belongs."""
    mask = np.uint64(rows.shape[0] - 1)
    while rows[slot, _VOXELS] != 0 and (rows[slot, _SEGMENT] != segment or rows[slot, _TRUTH] != truth):
        slot = (slot + _ONE) & mask
    return slot


@inline
def _add(rows, slot, segment, truth, voxels):
    """Add voxels to a pair; returns 1 if the pair is new.

    It is searched from a slot on.
    """
    slot = _slot(rows, slot, segment, truth)
    new = rows[slot, _VOXELS] == 0
    rows[slot, _SEGMENT] = segment
    rows[slot, _TRUTH] = truth
    rows[slot, _VOXELS] += np.uint64(voxels)
    return np.int64(new)


@inline
def _list_runs(segments, truths, position, stop, starts):
    """List where runs of one pair begin, without a branch; returns their number."""
    runs = 1
    starts[0] = position
    for i in range(position + 1, stop):
        starts[at(runs)] = i
        changes = segments[at(i)] != segments[at(i - 1)]
        runs += np.int64(changes | (truths[at(i)] != truths[at(i - 1)]))
    starts[at(runs)] = stop
    return runs


@bare_kernel
def _count(segments, truths, stretch, table, position):
    """Count from voxel `position` on, and return where it stopped.

    It stops at the end, or when the table is nearly half full.
    """
    starts, slots, rows, used = stretch.starts, stretch.slots, table.rows, table.used[0]
    voxels, room = np.int64(truths.shape[0]), np.int64(rows.shape[0] // 2) - _STRETCH
    while position < voxels and used <= room:
        stop = min(position + _STRETCH, voxels)
        runs = _list_runs(segments, truths, position, stop, starts)
        for k in range(runs):
            first = at(starts[at(k)])
            slot = _first_slot(rows, segments[first], truths[first])
            slots[at(k)] = slot
            prefetch(rows, np.int64(slot))  # a row is half a line, so that one prefetch brings all of it
        for k in range(runs):
            first = at(starts[at(k)])
            if truths[first] != 0:
                length = starts[at(k + 1)] - starts[at(k)]
                used += _add(rows, slots[at(k)], segments[first], truths[first], length)
        position = stop
    table.used[0] = used
    return position


@bare_kernel
def _add_rows(rows, table):
    """Add the rows with voxels to a table that has room for them."""
    for i in range(rows.shape[0]):
        segment, truth, voxels = rows[i, _SEGMENT], rows[i, _TRUTH], rows[i, _VOXELS]
        if voxels != 0:
            table.used[0] += _add(table.rows, _first_slot(table.rows, segment, truth), segment, truth, voxels)


@inline
def _widen(extents, pair, axis, first, last):
    extents.low[pair, axis] = min(extents.low[pair, axis], first)
    extents.high[pair, axis] = max(extents.high[pair, axis], last)


@inline
def _add_run(extents, pair, z, y, start, end):
    """Add the voxels (z, y, start .. end - 1) to a pair."""
    voxels = end - start
    extents.voxels[pair] += voxels
    extents.sums[pair, 0] += voxels * z
    extents.sums[pair, 1] += voxels * y
    extents.sums[pair, 2] += voxels * (start + end - 1) // 2
    _widen(extents, pair, 0, z, z)
    _widen(extents, pair, 1, y, y)
    _widen(extents, pair, 2, start, end - 1)


@bare_kernel
def measure_pairs(
    segmentation: np.ndarray, truth: np.ndarray, first_section: int, table: PairTable, extents: Extents
) -> None:
    """Add the voxels of a slab to the extents of their pairs.

    Parameters
    ----------
    segmentation, truth : (z, y, x) uint64
    first_section : int
        z of the first section of the slab.
    table, extents : PairTable, Extents
        As of `extents_of`; the extents grow.
    """
    depth, height, width = truth.shape
    for z in range(depth):
        for y in range(height):
            segments, truths = segmentation[z, y], truth[z, y]
            start = 0
            while start < width:
                segment, neuron = segments[start], truths[start]
                end = start + 1
                while end < width and segments[end] == segment and truths[end] == neuron:
                    end += 1
                slot = _slot(table.rows, _first_slot(table.rows, segment, neuron), segment, neuron)
                index = table.rows[slot, _VOXELS]
                if index != 0:
                    _add_run(extents, index - _ONE, z + first_section, y, start, end)
                start = end
