"""Coarser scales of a volume, for viewers.

It says which scales there are, and makes one voxel of several.
"""

from dataclasses import dataclass

import numpy as np

from clew.errors import InputError
from clew.kernels import downsample
from clew.space import Lengths, Triple, triple

COARSEST = 64
"""Scales end where no axis is longer than this."""


@dataclass(frozen=True)
class Scale:
    """One scale of a pyramid.

    Parameters
    ----------
    shape : (z, y, x) ints
        In voxels.
    voxel_size : (z, y, x) floats
        In nm.
    offset : (z, y, x) floats
        Of the centre of the first voxel in nm, like the offset of the volume.
    factors : (z, y, x) ints
        Voxels of the next finer scale that become one.
    """

    shape: Triple
    voxel_size: Lengths
    offset: Lengths
    factors: Triple = (1, 1, 1)


def coarser_scales(scale: Scale) -> list[Scale]:
    """The scales above one, finest first.

    Axes are halved until voxels are cubes, as far as possible, and then together.
    """
    found = []
    while max(scale.shape) > COARSEST:
        smallest = min(size for size, length in zip(scale.voxel_size, scale.shape, strict=True) if length > 1)
        factors = (
            2 if length > 1 and size < 2 * smallest else 1
            for length, size in zip(scale.shape, scale.voxel_size, strict=True)
        )
        scale = _next(scale, triple(factors))
        found.append(scale)
    return found


def pool(values: np.ndarray, factors: Triple) -> np.ndarray:
    """Make a coarser scale of voxels (z, y, x).

    Voxels of uint8 and uint16 (an image) become their mean, others (labels) the most frequent label.

    Of equally frequent labels the smallest that is not 0. Windows begin at multiples of the factors and may be cut at the
    far end of each axis. Exact at block borders, for blocks that begin at multiples of the factors.

    Raises
    ------
    InputError
        For values that are not whole numbers.
    """
    if values.dtype.kind not in "ub":
        raise InputError(
            f"coarser scales are made of images (uint8, uint16) and labels (uint32, uint64), not {values.dtype}"
        )
    shape = tuple(-(-length // factor) for length, factor in zip(values.shape, factors, strict=True))
    pooled = np.empty(shape, values.dtype)
    kernel = downsample.pool_image if values.dtype.itemsize <= 2 else downsample.pool_labels
    kernel(np.ascontiguousarray(values), np.array(factors), pooled)
    return pooled


def _next(scale: Scale, factors: Triple) -> Scale:
    shape = triple(-(-length // factor) for length, factor in zip(scale.shape, factors, strict=True))
    voxel_size = triple(size * factor for size, factor in zip(scale.voxel_size, factors, strict=True))
    lows = zip(scale.offset, scale.voxel_size, factors, strict=True)
    offset = triple(start + size * (factor - 1) / 2 for start, size, factor in lows)
    return Scale(shape, voxel_size, offset, factors)
