"""Slow, obvious twins of the resampling of crops."""

import itertools
import math

import numpy as np


def fill_field(coefficients, basis):
    return np.einsum("czyk,kx->czyx", coefficients, basis)


def reflected(index, size):
    """Walk to a voxel number, turning round at the first and the last voxel."""
    place, direction = 0, 1
    for _ in range(abs(index)):
        if size > 1 and not 0 <= place + direction < size:
            direction = -direction
        place += direction if size > 1 else 0
    return place


def sample_linear(volume, field, center):
    sampled = np.zeros(field.shape[1:])
    for voxel in np.ndindex(sampled.shape):
        place = [float(f) + c for f, c in zip(field[(slice(None), *voxel)], center, strict=True)]
        for corner in itertools.product((0, 1), repeat=3):
            weight, source = 1.0, []
            for at, step, size in zip(place, corner, volume.shape, strict=True):
                low = math.floor(at)
                weight *= at - low if step else 1 - (at - low)
                source.append(reflected(low + step, size))
            sampled[voxel] += weight * volume[tuple(source)]
    return sampled


def sample_nearest(volume, field, center, shape):
    sampled = np.zeros(shape, volume.dtype)
    start = [(have - want) // 2 for have, want in zip(field.shape[1:], shape, strict=True)]
    for voxel in np.ndindex(shape):
        where = tuple(v + s for v, s in zip(voxel, start, strict=True))
        place = [math.floor(float(f) + c + 0.5) for f, c in zip(field[(slice(None), *where)], center, strict=True)]
        if all(0 <= p < n for p, n in zip(place, volume.shape, strict=True)):
            sampled[voxel] = volume[tuple(place)]
    return sampled


def window_counts(mask, starts, shape):
    """Annotated voxels in the window at each combination of starts."""
    counts = np.zeros([len(start) for start in starts], int)
    for place in np.ndindex(counts.shape):
        corner = [start[p] for start, p in zip(starts, place, strict=True)]
        inside = [slice(max(c, 0), max(c + n, 0)) for c, n in zip(corner, shape, strict=True)]
        counts[place] = mask[tuple(inside)].sum()
    return counts
