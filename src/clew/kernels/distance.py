"""How far a voxel lies from the nearest boundary.

Distances are squared, in whole voxels, and capped.

All loops go along rows in x with nothing but additions and minima of small integers, so that they vectorise; the cap
makes each pass a minimum over a short list of shifts.
"""

import numpy as np

from clew.kernels._flags import FAR, INNERMOST, OUTSIDE
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


_STRIDES = (1, 2, 4, 8)
"""Together as far as `INNERMOST` and `FAR` are from the surface."""


def steps_outward(objects: np.ndarray, per_section: bool) -> np.ndarray:
    """How far outward each voxel is, in steps along the axes; see `_flags`.

    The border of the volume is no surface.

    Parameters
    ----------
    objects : (z, y, x) uint8
        1 inside of an object.
    per_section : bool
        Steps in the plane only.

    Returns
    -------
    (z, y, x) uint8
    """
    depth, _, width = objects.shape
    steps = np.empty(objects.shape, np.int8)
    _walk_planes(objects, np.empty(width + 2 * _STRIDES[-1], np.int8), steps)
    if not per_section:
        _walk_depth(steps.reshape(depth, -1))
    return steps.view(np.uint8)


@inline
def _learn(here, one, other, length):
    """What a voxel learns from two others, so many steps away.

    Inside how near the surface is, outside how near an object.
    """
    inward = max(here, np.int8(min(max(one, other), np.int8(OUTSIDE)) - length))
    outward = min(here, np.int8(max(min(one, other), np.int8(OUTSIDE - 1)) + length))
    return inward if here < OUTSIDE else outward


@inline
def _step(target, others):
    for x in range(target.size):
        target[x] = _learn(target[x], others[x], others[x], np.int8(1))


@inline
def _along_line(row, line):
    """All steps along a row, by 1, 2, 4, 8 at once.

    The `line` has room for the row and as many voxels as the longest stride at either end, which repeat the outermost: they say
    nothing that these do not say better.
    """
    margin, width = _STRIDES[-1], row.size
    for length in _STRIDES:
        line[:margin] = row[0]
        line[margin : margin + width] = row
        line[margin + width :] = row[width - 1]
        left, right = line[margin - length :], line[margin + length :]
        for x in range(width):
            row[x] = _learn(row[x], left[x], right[x], np.int8(length))


@kernel
def _walk_planes(objects, line, steps):
    depth, height, width = objects.shape
    for z in range(depth):
        for y in range(height):
            row = steps[z, y]
            for x in range(width):
                row[x] = np.int8(INNERMOST) if objects[z, y, x] else np.int8(FAR)
            _along_line(row, line)
            if y > 0:
                _step(row, steps[z, y - 1])
        for y in range(height - 2, -1, -1):
            _step(steps[z, y], steps[z, y + 1])


@kernel
def _walk_depth(planes):
    for z in range(1, planes.shape[0]):
        _step(planes[z], planes[z - 1])
    for z in range(planes.shape[0] - 2, -1, -1):
        _step(planes[z], planes[z + 1])
