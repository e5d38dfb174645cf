"""Pixels near a label border, per section, by exact Euclidean distance."""

import numpy as np

from clew.kernels._jit import inline, kernel


@inline
def _mark_changes(here, there, marks):
    for x in range(here.shape[0]):
        marks[x] |= np.uint8(here[x] != there[x])


@kernel
def measure_rows(section, marks, rows):
    """Rows between each pixel and the nearest border pixel of its column, or the height if it has none.

    A border pixel has one of its 4 neighbours under another label. section (y, x) uint64, rows (y, x) int32; marks (x,)
    uint8 is room to work in.
    """
    height, width = section.shape
    for y in range(height):
        here = section[y]
        marks[:] = 0
        if y > 0:
            _mark_changes(here, section[y - 1], marks)
        if y + 1 < height:
            _mark_changes(here, section[y + 1], marks)
        _mark_changes(here[1:], here[:-1], marks[1:])
        _mark_changes(here[:-1], here[1:], marks[:-1])
        for x in range(width):
            above = rows[y - 1, x] + 1 if y > 0 else height
            rows[y, x] = 0 if marks[x] else min(above, height)
    for y in range(height - 2, -1, -1):
        for x in range(width):
            rows[y, x] = min(rows[y, x], rows[y + 1, x] + 1)


@kernel
def clear_near_borders(section, rows, reach, changes, result):
    """Set pixels near a border to 0.

    rows as measured; reach (height,) int64: how many columns a border pixel so many rows away reaches, -1 for none;
    changes (x + 1,) int32 is room to work in; section and result (y, x) uint64.
    """
    height, width = section.shape
    for y in range(height):
        changes[:] = 0
        for x in range(width):
            columns = reach[rows[y, x]] if rows[y, x] < height else -1
            if columns >= 0:
                changes[max(x - columns, 0)] += 1
                changes[min(x + columns + 1, width)] -= 1
        near = 0
        for x in range(width):
            near += changes[x]
            result[y, x] = np.uint64(0) if near > 0 else section[y, x]
