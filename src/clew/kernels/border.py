"""Pixels near a label border, per section, by exact Euclidean distance.

It takes time in proportion to the number of pixels.
"""

import numpy as np

from clew.kernels._jit import inline, kernel


@kernel
def clear_near_borders(labels: np.ndarray, reach: np.ndarray, cleared: np.ndarray) -> None:
    """Write the labels with 0 near borders.

    A border pixel has one of its 4 neighbours in the section under another label.

    Parameters
    ----------
    labels, cleared : (z, y, x) uint64
    reach : (y,) int64
        How many columns a border pixel so many rows away reaches; -1 for none, not even its own.
    """
    depth, height, width = labels.shape
    rows, marks, changes = np.empty((height, width), np.int32), np.empty(width, np.uint8), np.empty(width + 1, np.int32)
    for z in range(depth):
        _measure_rows(labels[z], marks, rows)
        _clear_section(labels[z], rows, reach, changes, cleared[z])


@inline
def _mark_changes(here, there, marks):
    for x in range(here.shape[0]):
        marks[x] |= np.uint8(here[x] != there[x])


@inline
def _measure_rows(section, marks, rows):
    """Rows between each pixel and the nearest border pixel of its column.

    The height where the column has none.
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
    # down the columns, then up: two passes for any distance
    for y in range(height - 2, -1, -1):
        for x in range(width):
            rows[y, x] = min(rows[y, x], rows[y + 1, x] + 1)


@inline
def _clear_section(section, rows, reach, changes, cleared):
    """Clear what the border pixels reach.

    Each opens and closes an interval, so that no pixel needs its neighbours.
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
            cleared[y, x] = np.uint64(0) if near > 0 else section[y, x]
