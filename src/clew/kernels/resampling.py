"""Resampling of a crop through one field of coordinates: raw by trilinear interpolation, labels by nearest.

A field is (3, z, y, x) float32, coordinates (z, y, x) in voxels relative to the crop's centre. The centre is given as a
whole voxel `base` and the rest `fraction`, so that coordinates stay exact in large volumes.
"""

import numpy as np

from clew.kernels._jit import inline, kernel


@kernel
def fill_field(coefficients, basis, field):
    """Write to `field` (3, z, y, x) the sum over k of coefficients (3, z, y, k) times basis (k, x); all float32."""
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
    """A voxel number inside 0 .. size - 1, mirrored at the first and the last voxel as often as needed."""
    if index >= 0 and index < size:
        return index
    period = max(2 * (size - 1), 1)
    index %= period
    return min(index, period - index) if size > 1 else 0


@kernel
def sample_linear(volume, field, base, fraction, sampled):
    """Write to `sampled` (z, y, x) float32 the `volume` (z, y, x) uint8 at base + fraction + field, reflected outside."""
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


@kernel
def sample_nearest(labels, mask, field, start, base, fraction, sampled, inside):
    """Labels and mask at the voxels nearest to base + fraction + field, 0 outside the volume.

    labels (z, y, x) of any whole numbers, mask (z, y, x) uint8; `sampled` and `inside` are theirs, smaller than the
    field and lying in it from voxel `start`.
    """
    depth, height, width = labels.shape
    part_z, part_y, part_x = (
        fraction[0] + np.float32(0.5),
        fraction[1] + np.float32(0.5),
        fraction[2] + np.float32(0.5),
    )
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
