"""Where the boundary is: the mean affinity of a voxel's own pairs.

They are those with its predecessors in z, y and x.

Pairs that leave the mask are not counted, just as pairs that leave the volume.
"""

from typing import NamedTuple

import numpy as np

from clew.kernels._jit import bare_kernel, inline


class _Row(NamedTuple):
    """Room for a row of voxels.

    Sums of affinities (x,) int16, numbers of counted pairs (x,) uint8; ones and zeros (x,) uint8.
    """

    totals: np.ndarray
    counts: np.ndarray
    inside: np.ndarray
    outside: np.ndarray


def interior_voxels(affinities: np.ndarray, mask: np.ndarray, limits: np.ndarray, per_section: bool) -> np.ndarray:
    """Mark voxels whose pairs have a mean affinity above the threshold.

    1 where the mean affinity of a voxel's own pairs is above the boundary threshold, else 0.

    Parameters
    ----------
    affinities : (3, z, y, x) uint8
    mask : (z, y, x) uint8, 1 inside, or of shape (0, 0, 0) for everywhere
    limits : (4,) int64
        For 0..3 counted pairs, the largest sum that is not above the threshold; -1 for none: no pair, no boundary.
    per_section : bool
        Count the pairs in the plane only.

    Returns
    -------
    (z, y, x) uint8
    """
    interior = np.empty(affinities.shape[1:], np.uint8)
    _mark_interior(affinities, mask, limits.astype(np.int16), not per_section, _new_row(affinities), interior)
    return interior


def boundary_map(affinities: np.ndarray, mask: np.ndarray, per_section: bool) -> np.ndarray:
    """255 - mean affinity of each voxel's own pairs, rounded.

    Halves of the mean are rounded upwards; 0 where there is no pair.

    Parameters and result as for `interior_voxels`.
    """
    heights = np.empty(affinities.shape[1:], np.uint8)
    _measure_heights(affinities, mask, not per_section, _new_row(affinities), heights)
    return heights


def _new_row(affinities: np.ndarray) -> _Row:
    width = affinities.shape[3]
    zeros = np.zeros(width, np.uint8)
    return _Row(np.zeros(width, np.int16), np.zeros(width, np.uint8), np.ones(width, np.uint8), zeros)


@inline
def _voxels(mask, row, z, y):
    """Which voxels of a row are inside; none before the first section or row."""
    return row.outside if z < 0 or y < 0 else (row.inside if mask.size == 0 else mask[z, y])


@inline
def _sum_pairs(affinities, mask, across, z, y, row):
    """Totals and counts of the pairs of the voxels of a row.

    `across`: pairs along z count. What lies outside counts no pair.
    """
    totals, counts = row.totals, row.counts
    here, before = _voxels(mask, row, z, y), _voxels(mask, row, z, y - 1)
    above = _voxels(mask, row, z - 1, y) if across else row.outside
    along_z, along_y, along_x = affinities[0, z, y], affinities[1, z, y], affinities[2, z, y]
    for x in range(totals.size):
        totals[x] = np.int16(along_z[x]) * np.int16(above[x]) + np.int16(along_y[x]) * np.int16(before[x])
        counts[x] = (above[x] + before[x]) * here[x]
    for x in range(1, totals.size):
        totals[x] += np.int16(along_x[x]) * np.int16(here[x - 1])
        counts[x] += here[x - 1] * here[x]


@bare_kernel
def _mark_interior(affinities, mask, limits, across, row, interior):
    for z in range(interior.shape[0]):
        for y in range(interior.shape[1]):
            _sum_pairs(affinities, mask, across, z, y, row)
            out = interior[z, y]
            for x in range(out.size):
                pairs = row.counts[x]
                limit = limits[3] if pairs == 3 else (limits[2] if pairs == 2 else limits[1])
                out[x] = (pairs == 0) | (row.totals[x] > limit)


@bare_kernel
def _measure_heights(affinities, mask, across, row, heights):
    for z in range(heights.shape[0]):
        for y in range(heights.shape[1]):
            _sum_pairs(affinities, mask, across, z, y, row)
            out = heights[z, y]
            for x in range(out.size):
                total, count = np.int32(row.totals[x]), np.int32(row.counts[x])
                out[x] = 255 - (2 * total + count) // (2 * count) if count > 0 else 0


def voxels_of_pairs(affinities: np.ndarray, mask: np.ndarray, least: int, per_section: bool) -> np.ndarray:
    """Mark the voxels that are in a pair of at least this affinity, (z, y, x) uint8.

    Of all their pairs, with successors too. Parameters as for `interior_voxels`.
    """
    found = np.zeros(affinities.shape[1:], np.uint8)
    _mark_pairs(affinities, mask, least, not per_section, _new_row(affinities), found)
    return found


@inline
def _mark_others(values, least, here, others, marks):
    """Mark the voxels of a row whose pairs with those of another are strong."""
    for x in range(values.size):
        marks[x] |= np.uint8(values[x] >= least) & here[x] & others[x]


@bare_kernel
def _mark_pairs(affinities, mask, least, across, row, found):
    _, depth, height, width = affinities.shape
    strong = row.counts
    for z in range(depth):
        for y in range(height):
            here, marks = _voxels(mask, row, z, y), found[z, y]
            if across and z > 0:
                _mark_others(affinities[0, z, y], least, here, _voxels(mask, row, z - 1, y), marks)
            if across and z + 1 < depth:
                _mark_others(affinities[0, z + 1, y], least, here, _voxels(mask, row, z + 1, y), marks)
            if y > 0:
                _mark_others(affinities[1, z, y], least, here, _voxels(mask, row, z, y - 1), marks)
            if y + 1 < height:
                _mark_others(affinities[1, z, y + 1], least, here, _voxels(mask, row, z, y + 1), marks)
            strong[:] = 0
            _mark_others(affinities[2, z, y, 1:], least, here[1:], here[: width - 1], strong[1:])
            for x in range(width - 1):
                marks[x] |= strong[x] | strong[x + 1]
            marks[width - 1] |= strong[width - 1]
