"""Resampling of a crop through one field of coordinates.

Raw by trilinear interpolation, labels by nearest.

A field is (3, z, y, x) float32, coordinates (z, y, x) in voxels relative to the crop's centre. The centre is given as a
whole voxel `base` and the rest `fraction`, so that coordinates stay exact in large volumes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clew.kernels._jit import bare_kernel, inline

_HALF = np.float32(0.5)


class _Origin(NamedTuple):
    """Where a field begins, each (z, y, x).

    Its first voxel that is used, the whole voxel of the centre, and the rest.
    """

    start: np.ndarray
    base: np.ndarray
    fraction: np.ndarray


def fill_field(coefficients: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Sum over k of coefficients (3, z, y, k) times basis (k, x).

    Parameters
    ----------
    coefficients : (3, z, y, k) float32
    basis : (k, x) float32

    Returns
    -------
    (3, z, y, x) float32
    """
    field = np.empty((*coefficients.shape[:3], basis.shape[1]), np.float32)
    _fill(coefficients, basis, field)
    return field


def sample_linear(volume: np.ndarray, field: np.ndarray, base: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Interpolate a volume linearly at base + fraction + field.

    It is reflected outside.

    Parameters
    ----------
    volume : (z, y, x) uint8
    field : (3, z, y, x) float32
    base : (3,) int64
    fraction : (3,) float32

    Returns
    -------
    (z, y, x) float32
    """
    sampled = np.empty(field.shape[1:], np.float32)
    _interpolate(volume, field, base, fraction, sampled)
    return sampled


def sample_nearest(
    labels: np.ndarray,
    mask: np.ndarray,
    field: np.ndarray,
    start: np.ndarray,
    base: np.ndarray,
    fraction: np.ndarray,
    shape: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and mask at the voxels nearest to base + fraction + field.

    Outside of the volume they are 0 and false.

    Parameters
    ----------
    labels : (z, y, x) of whole numbers
    mask : (z, y, x) bool
    field : (3, z, y, x) float32
    start : (3,) int64
        First voxel (z, y, x) of the field that is used.
    base : (3,) int64
    fraction : (3,) float32
    shape : (z, y, x)
        Voxels of the field that are used.

    Returns
    -------
    labels : (z, y, x) of the same type
    mask : (z, y, x) bool
    """
    sampled, inside = np.empty(shape, labels.dtype), np.empty(shape, bool)
    _take_nearest(labels, mask.view(np.uint8), field, _Origin(start, base, fraction), sampled, inside.view(np.uint8))
    return sampled, inside


@bare_kernel
def _fill(coefficients, basis, field):
    components, depth, height, terms = coefficients.shape
    for component in range(components):
        for z in range(depth):
            for y in range(height):
                row = field[component, z, y]
                row[:] = np.float32(0)
                for k in range(terms):
                    factor = coefficients[component, z, y, k]
                    for x in range(row.shape[0]):
                        row[x] += factor * basis[k, x]


@inline
def _reflected(index, size):
    """An index inside 0 .. size - 1, mirrored as often as needed.

    It is mirrored at the first and the last voxel.
    """
    if index >= 0 and index < size:
        return index
    # mirrored at the voxel, not beside it: the first and the last one are not repeated
    period = max(2 * (size - 1), 1)
    index %= period
    return min(index, period - index) if size > 1 else 0


@bare_kernel
def _interpolate(volume, field, base, fraction, sampled):
    depth, height, width = volume.shape
    base_z, base_y, base_x = base[0], base[1], base[2]
    part_z, part_y, part_x = fraction[0], fraction[1], fraction[2]
    for z in range(sampled.shape[0]):
        for y in range(sampled.shape[1]):
            row = sampled[z, y]
            row_z, row_y, row_x = field[0, z, y], field[1, z, y], field[2, z, y]
            for x in range(row.shape[0]):
                at_z, at_y, at_x = row_z[x] + part_z, row_y[x] + part_y, row_x[x] + part_x
                low_z, low_y, low_x = np.floor(at_z), np.floor(at_y), np.floor(at_x)
                weight_z, weight_y, weight_x = at_z - low_z, at_y - low_y, at_x - low_x
                z0, y0, x0 = base_z + np.int64(low_z), base_y + np.int64(low_y), base_x + np.int64(low_x)
                z1, y1, x1 = _reflected(z0 + 1, depth), _reflected(y0 + 1, height), _reflected(x0 + 1, width)
                z0, y0, x0 = _reflected(z0, depth), _reflected(y0, height), _reflected(x0, width)
                a, b = np.float32(volume[z0, y0, x0]), np.float32(volume[z0, y0, x1])
                c, d = np.float32(volume[z0, y1, x0]), np.float32(volume[z0, y1, x1])
                a += weight_x * (b - a)
                a += weight_y * (c + weight_x * (d - c) - a)
                e, f = np.float32(volume[z1, y0, x0]), np.float32(volume[z1, y0, x1])
                g, h = np.float32(volume[z1, y1, x0]), np.float32(volume[z1, y1, x1])
                e += weight_x * (f - e)
                e += weight_y * (g + weight_x * (h - g) - e)
                row[x] = a + weight_z * (e - a)


@bare_kernel
def _take_nearest(labels, mask, field, origin, sampled, inside):
    depth, height, width = labels.shape
    start, base, fraction = origin
    part_z, part_y, part_x = fraction[0] + _HALF, fraction[1] + _HALF, fraction[2] + _HALF
    for z in range(sampled.shape[0]):
        for y in range(sampled.shape[1]):
            row_z, row_y = field[0, z + start[0], y + start[1]], field[1, z + start[0], y + start[1]]
            row_x, row, row_inside = field[2, z + start[0], y + start[1]], sampled[z, y], inside[z, y]
            for x in range(row.shape[0]):
                at_z = base[0] + np.int64(np.floor(row_z[x + start[2]] + part_z))
                at_y = base[1] + np.int64(np.floor(row_y[x + start[2]] + part_y))
                at_x = base[2] + np.int64(np.floor(row_x[x + start[2]] + part_x))
                if 0 <= at_z < depth and 0 <= at_y < height and 0 <= at_x < width:
                    row[x] = labels[at_z, at_y, at_x]
                    row_inside[x] = mask[at_z, at_y, at_x]
                else:
                    row[x] = 0
                    row_inside[x] = 0
