"""Pixels near a label border, per section, by exact Euclidean distance."""

import numpy as np

from clew.kernels._jit import kernel


@kernel
def clear_near_borders(section, height_step, width_step, distance, rows, result):
    """Set pixels within `distance` of a border pixel to 0.

    A border pixel has one of its 4 neighbours under another label. section and result (y, x) uint64; steps and distance
    in nm; rows (y, x) int64 is room to work in.
    """
    height, width = section.shape
    far = np.int64(height)
    for y in range(height):
        for x in range(width):
            here = section[y, x]
            border = (
                (y > 0 and section[y - 1, x] != here)
                or (y + 1 < height and section[y + 1, x] != here)
                or (x > 0 and section[y, x - 1] != here)
                or (x + 1 < width and section[y, x + 1] != here)
            )
            above = rows[y - 1, x] + 1 if y > 0 else far
            rows[y, x] = 0 if border else min(above, far)
    for y in range(height - 2, -1, -1):
        for x in range(width):
            rows[y, x] = min(rows[y, x], rows[y + 1, x] + 1)
    reach = min(np.int64(distance / width_step) + 1, width)
    limit = distance * distance
    for y in range(height):
        for x in range(width):
            result[y, x] = section[y, x]
            for other in range(max(x - reach, 0), min(x + reach + 1, width)):
                if rows[y, other] == far:
                    continue
                down, across = rows[y, other] * height_step, (other - x) * width_step
                if down * down + across * across <= limit:
                    result[y, x] = 0
                    break
