"""How far a voxel lies from the nearest boundary.

Distances are squared, in whole voxels, and capped.

All loops go along rows in x with nothing but additions and minima of small integers, so that they vectorise; the cap
makes each pass a minimum over a short list of shifts.
"""

import numpy as np

from clew.kernels._jit import inline, kernel
from clew.space import Box


def capped_distance(interior: np.ndarray, cap: int, per_section: bool, kept: Box | None = None) -> np.ndarray:
    """Squared distance to the nearest voxel that is not interior, at most cap².

    The border of the volume is no boundary.

    Parameters
    ----------
    interior : (z, y, x) uint8
        0 at the boundary.
    cap : int, voxels, 1..128
    per_section : bool
        Distances in the plane only.
    kept : Box, optional
        The part that is wanted; all by default. Each pass is of what the later ones need.

    Returns
    -------
    (z, y, x) uint16
    """
    kept = kept or Box.whole(interior.shape)
    (z0, y0, x0), (z1, y1, x1) = kept.low, kept.high
    distance = np.empty((*interior.shape[:2], x1 - x0), np.uint16)
    _along_rows(interior, cap, x0, distance)
    _along_columns(distance, cap, y0, y1)
    if not per_section:
        _along_depth(distance, y1 - y0, cap, z0, z1)
        z0, z1 = 0, z1 - z0
    return np.ascontiguousarray(distance[z0:z1, : y1 - y0])


@inline
def _relax(target, lines, middle, cap):
    """Minimum of line (middle ± k) + k² over k = 0..cap, into target."""
    far = np.uint16(0)
    for x in range(target.size):
        target[x] = lines[middle, x]
        far = max(far, target[x])
    for k in range(1, cap + 1):
        if k * k >= far:
            break
        step = np.uint16(k * k)
        left = lines[middle - k]
        right = lines[middle + k]
        for x in range(target.size):
            target[x] = min(target[x], np.uint16(min(left[x], right[x]) + step))


@kernel
def _along_rows(interior, cap, first, distance):
    """Squared distance along x, of the columns from `first` on."""
    depth, height, width = interior.shape
    line = np.empty(width, np.uint16)
    for z in range(depth):
        for y in range(height):
            inside = interior[z, y]
            steps = cap
            for x in range(width):
                steps = min(steps + 1, cap) if inside[x] else 0
                line[x] = np.uint16(steps)
            steps = cap
            for x in range(width - 1, -1, -1):
                steps = min(steps + 1, np.int64(line[x]))
                line[x] = np.uint16(steps * steps)
            distance[z, y] = line[first : first + distance.shape[2]]


@kernel
def _along_columns(distance, cap, first, stop):
    """The minimum along y, in place; rows first … stop - 1 become rows 0, 1, …"""
    depth, height, width = distance.shape
    lines = np.full((height + 2 * cap, width), np.uint16(cap * cap))
    for z in range(depth):
        lines[cap : cap + height] = distance[z]
        for y in range(first, stop):
            _relax(distance[z, y - first], lines, y + cap, cap)


@kernel
def _along_depth(distance, height, cap, first, stop):
    """The minimum along z of rows below `height`, in place.

    Sections first … stop - 1 become sections 0, 1, …
    """
    depth, _, width = distance.shape
    lines = np.full((depth + 2 * cap, width), np.uint16(cap * cap))
    for y in range(height):
        lines[cap : cap + depth] = distance[:, y]
        for z in range(first, stop):
            _relax(distance[z - first, y], lines, z + cap, cap)
