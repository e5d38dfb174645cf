"""The scales of a volume, for viewers.

Those that are stored, and coarser ones that are made when they are read.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.space import Lengths, Triple, triple
from clew.volumes.location import find_location
from clew.volumes.open import open_volume
from clew.volumes.pyramid import Scale, coarser_scales, pool
from clew.volumes.volume import Volume

Number = TypeVar("Number", int, float)
READ = 32 << 20
"""Bytes of finer voxels that a coarse box is made of wholly; of more, one section of each coarse one is read."""


class Scaled(NamedTuple):
    """One scale of a volume.

    Parameters
    ----------
    data : array-like
        With the axes of the volume; read by slices without steps.
    factors : (z, y, x) ints
        Voxels of the finest scale that one voxel stands for.
    """

    data: Any
    factors: Triple


class Coarser:
    """A coarser scale that is made of a finer one when it is read.

    Small parts are those that `pool` makes. Of large ones only the middle section of each coarse section is read, so that
    looking at a volume from afar does not read all of it.

    Parameters
    ----------
    finer : array-like
        (z, y, x) or (c, z, y, x).
    factors : (z, y, x) ints
        Voxels of it that become one.
    """

    def __init__(self, finer: Any, factors: Triple) -> None:
        self.finer, self.factors, self.dtype = finer, factors, np.dtype(finer.dtype)
        lengths = zip(finer.shape[-3:], factors, strict=True)
        self.shape = (*finer.shape[:-3], *(-(-length // factor) for length, factor in lengths))

    def __getitem__(self, selection: tuple[slice, ...]) -> NDArray[Any]:
        """A box of voxels, by a slice for each axis."""
        slices = [slice(*chosen.indices(n)) for chosen, n in zip(selection, self.shape, strict=True)]
        *channels, z, y, x = slices
        fine = [self._fine(axis, part) for axis, part in enumerate((z, y, x))]
        count = math.prod(part.stop - part.start for part in (*channels, *fine))
        if count * self.dtype.itemsize <= READ:
            return _pooled(self.finer[(*channels, *fine)], self.factors)
        middles = (
            min(k * self.factors[0] + self.factors[0] // 2, self.finer.shape[-3] - 1) for k in range(z.start, z.stop)
        )
        flat = triple((1, *self.factors[1:]))
        sections = [_pooled(self.finer[(*channels, slice(at, at + 1), *fine[1:])], flat) for at in middles]
        return np.concatenate(sections, axis=-3)

    def _fine(self, axis: int, part: slice) -> slice:
        factor = self.factors[axis]
        return slice(part.start * factor, min(part.stop * factor, self.finer.shape[axis - 3]))


def open_scales(path: str, volume: Volume) -> list[Scaled]:
    """All scales of an opened volume, finest first, down to one of 64 voxels.

    Those above the coarsest that is stored are made when they are read.

    Parameters
    ----------
    path : str
        Where the volume was opened.
    volume : Volume
    """
    return coarser_than(volume, _stored(path, volume))


def coarser_than(data: Any, stored: Iterable[Scaled] = ()) -> list[Scaled]:
    """An array, its stored scales, and those above.

    These are made when they are read.

    Parameters
    ----------
    data : Volume, or what has its shape, voxel size and offset
    stored : iterable of Scaled
        Scales above the finest, finest first.
    """
    found = [Scaled(data, (1, 1, 1)), *stored]
    last = found[-1]
    voxel_size: Lengths = _times(data.voxel_size, last.factors)
    total = (1, 1, 1)
    for scale in coarser_scales(Scale(triple(last.data.shape[-3:]), voxel_size, data.offset)):
        total = _times(total, scale.factors)
        found.append(Scaled(Coarser(last.data, total), _times(total, last.factors)))
    return found


def _stored(path: str, volume: Volume) -> Iterator[Scaled]:
    """The stored scales above the finest.

    None where a scale was named; it ends where one does not fit.
    """
    if find_location(path).dataset:
        return
    before = 1
    for number in range(1, 32):
        try:
            scale = open_volume(f"{path}:{number}", voxel_size=volume.voxel_size)
        except InputError:
            return
        factors = triple(round(n / m) for n, m in zip(volume.shape[-3:], scale.shape[-3:], strict=True))
        fits = all(m in (n // f, -(-n // f)) for n, m, f in
                   zip(volume.shape[-3:], scale.shape[-3:], factors, strict=True))  # fmt: skip
        same = (scale.axes, scale.dtype, scale.shape[:-3]) == (volume.axes, volume.dtype, volume.shape[:-3])
        if not (same and fits and math.prod(factors) > before):
            return
        before = math.prod(factors)
        yield Scaled(scale, factors)


def _times(values: tuple[Number, Number, Number], factors: Triple) -> tuple[Number, Number, Number]:
    z, y, x = values
    return z * factors[0], y * factors[1], x * factors[2]


def _pooled(values: NDArray[Any], factors: Triple) -> NDArray[Any]:
    if values.ndim == 4:
        return np.stack([_pooled(channel, factors) for channel in values])
    if values.dtype.kind in "ub":
        return pool(values, factors)
    return values[:: factors[0], :: factors[1], :: factors[2]]
