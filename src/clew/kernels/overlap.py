"""Overlap of two label volumes: how many voxels carry each pair of ids.

Runs of equal pairs are counted before they are looked up in an open-addressed table of rows (segment, truth, voxels, 0),
two to a cache line; all rows that a stretch of voxels needs are asked for before the first is looked at. The table never
grows here: a kernel that finds it nearly half full says how far it came, the caller makes it larger and goes on.
"""

import numpy as np

from clew.kernels._jit import inline, kernel, prefetch
from clew.kernels._table import mixed_ids

STRETCH = 1024
"""Voxels whose runs are looked up together; a table has more than twice as many rows."""

_ONE = np.uint64(1)


def new_table(rows: int) -> np.ndarray:
    """Table of so many free rows (a power of two), (rows, 4) uint64."""
    memory = np.zeros(4 * rows + 8, np.uint64)
    start = -memory.ctypes.data % 64 // 8
    return memory[start : start + 4 * rows].reshape(rows, 4)


@inline
def _first_slot(table, segment, truth):
    return np.uint64(mixed_ids(np.int64(segment), np.int64(truth)) & (table.shape[0] - 1))


@inline
def _slot(table, slot, segment, truth):
    """Slot of a pair of ids in the table from its first slot on, or the free one where it belongs."""
    mask = np.uint64(table.shape[0] - 1)
    while table[slot, 2] != 0 and (table[slot, 0] != segment or table[slot, 1] != truth):
        slot = (slot + _ONE) & mask
    return slot


@inline
def _add(table, slot, segment, truth, number):
    """Add voxels to a pair; returns 1 if the pair is new."""
    slot = _slot(table, slot, segment, truth)
    new = table[slot, 2] == 0
    table[slot, 0] = segment
    table[slot, 1] = truth
    table[slot, 2] += np.uint64(number)
    return np.int64(new)


@kernel
def count_overlap(segmentation, truth, position, filled, table):
    """Count pairs of ids from voxel `position` on, leaving out voxels of truth 0.

    segmentation and truth (voxels,) uint64. Returns (position, filled): where it stopped, and the rows in use. The table
    is nearly half full if position < voxels.
    """
    voxels = np.int64(truth.shape[0])
    room = np.int64(table.shape[0] // 2) - STRETCH
    starts, slots = np.empty(STRETCH + 1, np.int64), np.empty(STRETCH, np.uint64)
    while position < voxels and filled <= room:
        stop, runs = min(position + STRETCH, voxels), 1
        starts[0] = position
        for i in range(position + 1, stop):
            starts[np.uint64(runs)] = i
            changes = segmentation[np.uint64(i)] != segmentation[np.uint64(i - 1)]
            runs += np.int64(changes | (truth[np.uint64(i)] != truth[np.uint64(i - 1)]))
        starts[np.uint64(runs)] = stop
        for k in range(runs):
            first = np.uint64(starts[np.uint64(k)])
            slot = _first_slot(table, segmentation[first], truth[first])
            slots[np.uint64(k)] = slot
            prefetch(table, np.int64(slot))
        for k in range(runs):
            first = np.uint64(starts[np.uint64(k)])
            if truth[first] != 0:
                number = starts[np.uint64(k + 1)] - starts[np.uint64(k)]
                filled += _add(table, slots[np.uint64(k)], segmentation[first], truth[first], number)
        position = stop
    return position, filled


@kernel
def add_entries(entries, table):
    """Add rows (segment, truth, voxels, 0), those without voxels left out, to a table that has room for them."""
    for i in range(entries.shape[0]):
        if entries[i, 2] != 0:
            slot = _first_slot(table, entries[i, 0], entries[i, 1])
            _add(table, slot, entries[i, 0], entries[i, 1], entries[i, 2])


@kernel
def measure_pairs(segmentation, truth, first_section, table, found):
    """Extent of the voxels of a few pairs of ids.

    segmentation and truth (z, y, x) uint64, the sections from `first_section` on; the table holds 1 + the number of
    each pair wanted in place of its voxels. found (pairs, 10) int64: voxels, sum of z, y, x, smallest z, y, x, largest z, y, x; set
    by the caller to 0, 0, large and -1.
    """
    depth, height, width = truth.shape
    for z in range(depth):
        for y in range(height):
            segment_row, truth_row = segmentation[z, y], truth[z, y]
            start = 0
            while start < width:
                segment, object_ = segment_row[start], truth_row[start]
                end = start + 1
                while end < width and segment_row[end] == segment and truth_row[end] == object_:
                    end += 1
                slot = _slot(table, _first_slot(table, segment, object_), segment, object_)
                if table[slot, 2] != 0:
                    row, number, section = found[table[slot, 2] - _ONE], end - start, z + first_section
                    row[0] += number
                    row[1] += number * section
                    row[2] += number * y
                    row[3] += number * (start + end - 1) // 2
                    row[4], row[7] = min(row[4], section), max(row[7], section)
                    row[5], row[8] = min(row[5], y), max(row[8], y)
                    row[6], row[9] = min(row[6], start), max(row[9], end - 1)
                start = end
