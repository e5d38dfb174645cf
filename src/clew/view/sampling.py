"""What a layer holds at the points of a picture, however large the volume is."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.view.layers import Layer

EDGE = 2048
"""Voxels that are read at a time along each axis of a section, at most: 32 MB of ids."""


def sampled(layer: Layer, corner: Sequence[float], step: Sequence[float], shape: Sequence[int]) -> NDArray[Any]:
    """The values of a layer at the points of a grid.

    They are taken from the coarsest scale that is fine enough.

    Parameters
    ----------
    layer : Layer
        (z, y, x).
    corner, step : (z, y, x) floats
        The first point, and from one to the next, in nm.
    shape : (z, y, x) ints
        Points along each axis.

    Returns
    -------
    (z, y, x) array
        Those of the nearest voxels; 0 outside of the volume.
    """
    data, factors = _coarsest(layer, [far if count > 1 else np.inf for far, count in zip(step, shape, strict=True)])
    size = np.multiply(layer.voxel_size, factors)
    first = np.add(layer.offset, (size - layer.voxel_size) / 2)
    places = [
        np.floor((low + far * np.arange(count) - start) / each + 0.5).astype(np.int64)
        for low, far, count, start, each in zip(corner, step, shape, first, size, strict=True)
    ]
    found = np.zeros(shape, data.dtype)
    made_of = getattr(data, "factors", (1, 1, 1))
    for part in product(*map(_parts, places, data.shape, made_of)):
        box = tuple(
            slice(int(at[chosen].min()), int(at[chosen].max()) + 1) for at, chosen in zip(places, part, strict=True)
        )
        inside = (at[chosen] - side.start for at, chosen, side in zip(places, part, box, strict=True))
        found[np.ix_(*part)] = np.asarray(data[box])[np.ix_(*inside)]
    return found


def channel(layer: Layer, number: int) -> Layer:
    """One channel of a layer (c, z, y, x)."""
    coarser = [(_Channel(data, number), factors) for data, factors in layer.coarser]
    return replace(layer, kind="image", data=_Channel(layer.data, number), coarser=coarser)


class _Channel:
    def __init__(self, data: Any, number: int) -> None:
        self.data, self.number, self.shape, self.dtype = data, number, data.shape[1:], data.dtype
        self.factors = getattr(data, "factors", (1, 1, 1))

    def __getitem__(self, selection: tuple[slice, ...]) -> NDArray[Any]:
        return np.asarray(self.data[(slice(self.number, self.number + 1), *selection)])[0]


def _coarsest(layer: Layer, steps: Sequence[float]) -> tuple[Any, Sequence[int]]:
    """The coarsest scale whose voxels are no longer than the steps."""
    fine_enough = (scale for scale in layer.scales[::-1] if (np.multiply(layer.voxel_size, scale[1]) <= steps).all())
    return next(fine_enough, layer.scales[0])


def _parts(places: NDArray[np.int64], length: int, made_of: int) -> list[NDArray[np.int64]]:
    """The points inside of a volume, a part at a time: few voxels are read."""
    inside = np.flatnonzero((places >= 0) & (places < length))
    if not len(inside):
        return []
    number = (places[inside] - places[inside[0]]) // max(1, EDGE // made_of)
    return np.split(inside, np.flatnonzero(np.diff(number)) + 1)
