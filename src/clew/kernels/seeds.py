"""Seeds: the voxels farthest from the boundary within a window."""

import numpy as np

from clew.kernels._jit import inline, kernel


def window_maximum(values: np.ndarray, window: int, per_section: bool) -> np.ndarray:
    """Largest of the uint16 `values` within a window around each voxel.

    The odd `window` is a cube; per section a square.
    """
    largest = np.empty_like(values)
    _maximum_in_plane(values, window, largest)
    if not per_section:
        _maximum_in_depth(largest, window)
    return largest


def seed_voxels(distance: np.ndarray, window: int, per_section: bool) -> np.ndarray:
    """Mark seed voxels: those whose distance is the maximum of their window.

    1 at seed voxels, else 0. They lie off the boundary.

    Parameters
    ----------
    distance : (z, y, x) uint16
        0 at the boundary and outside the mask.
    window : int
        Odd edge length in voxels.
    per_section : bool
        Windows in the plane only.

    Returns
    -------
    (z, y, x) uint8
    """
    seeds = np.empty(distance.shape, np.uint8)
    _mark_seeds(distance.reshape(-1), window_maximum(distance, window, per_section).reshape(-1), seeds.reshape(-1))
    return seeds


@kernel
def _mark_seeds(distance, largest, seeds):
    for i in range(seeds.size):
        seeds[i] = np.uint8((distance[i] == largest[i]) & (distance[i] > 0))


@inline
def _slide(lines, window):
    """Replace line i by the maximum of lines i..i + window - 1, by doubling.

    The last lines become meaningless.
    """
    reach = 1
    count, width = lines.shape
    while reach < window:
        step = min(reach, window - reach)
        for i in range(count - step):
            line = lines[i]
            other = lines[i + step]
            for x in range(width):
                line[x] = max(line[x], other[x])
        reach += step


@inline
def _step_row(line, step, out):
    for x in range(out.size):
        out[x] = max(line[x], line[x + step])


@kernel
def _maximum_in_plane(values, window, largest):
    depth, height, width = values.shape
    half = window // 2
    sides = np.zeros((2, width + 2 * half), np.uint16)
    lines = np.zeros((height + 2 * half, width), np.uint16)
    for z in range(depth):
        lines[:half] = 0
        lines[half + height :] = 0
        for y in range(height):
            sides[0, :half] = 0
            sides[0, half : half + width] = values[z, y]
            sides[0, half + width :] = 0
            side = 0
            reach = 1
            while reach < window:
                step = min(reach, window - reach)
                reach += step
                _step_row(sides[side], step, sides[1 - side, : width + window - reach])
                side = 1 - side
            lines[half + y] = sides[side, :width]
        _slide(lines, window)
        largest[z] = lines[:height]


@kernel
def _maximum_in_depth(largest, window):
    depth, height, width = largest.shape
    half = window // 2
    lines = np.zeros((depth + 2 * half, width), np.uint16)
    for y in range(height):
        lines[:half] = 0
        lines[half + depth :] = 0
        lines[half : half + depth] = largest[:, y]
        _slide(lines, window)
        largest[:, y] = lines[:depth]
