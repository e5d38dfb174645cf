"""Surfaces of what a person selects, made when they are asked for.

Where an object lies is found in a scale of few voxels, and its surface is made of the finest scale in which its box has few.
"""

import json
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.space import Box
from clew.view.cuts import Cuts, Runs, runs_of
from clew.view.layers import Layer

VOXELS = 1 << 24
"""Voxels that are looked at for one surface, at most: a second or two."""
KEPT = 128
"""Surfaces that are kept, of up to some MB each."""
SLAB = 32
"""Sections that are read at a time."""


class Boxes(NamedTuple):
    """Where ids lie, in voxels.

    Parameters
    ----------
    ids : (n,) uint64
        Ascending.
    low, high : (n, 3) int64
        Corners (z, y, x).
    counts : (n,) int64
        Voxels of each.
    """

    ids: NDArray[np.uint64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    counts: NDArray[np.int64]


class Meshes:
    """The surfaces of the segments of a layer.

    Parameters
    ----------
    layer : Layer
        Of kind "segmentation".
    shift : (z, y, x) floats
        In nm, added to the place of the layer.
    cuts : Cuts, optional
        Of the layer's merge tree.
    """

    def __init__(self, layer: Layer, shift: tuple[float, ...], cuts: Cuts | None = None) -> None:
        self.layer, self.shift, self.cuts = layer, np.array(shift), cuts
        self.mesh = lru_cache(KEPT)(self._mesh)

    def _mesh(self, segment: int, step: int) -> bytes:
        """The surface of a segment at a threshold in hundredths."""
        return self.surface_of(
            np.array([segment], np.uint64) if self.cuts is None else self.cuts.members(segment, step)
        )

    def surface_of(self, members: NDArray[np.uint64]) -> bytes:
        """The surface of what consists of some ids, in nm.

        In neuroglancer's legacy format; without a triangle where there is no such id.
        """
        low, high = self._box_of(members)
        if not (low < high).all():
            return np.uint32(0).tobytes()
        scale = self._finest_for(high - low)
        factors = np.array(self.layer.scales[scale][1])
        low, high = low // factors, -(-high // factors)
        mask = np.zeros(high - low + 2, np.uint8)
        for start, runs in _slabs(self.layer.scales[scale][0], low, high):
            part = np.repeat(np.isin(runs.ids, members), runs.lengths).reshape(-1, *(high - low)[1:])
            mask[start + 1 - low[0] : start + 1 - low[0] + len(part), 1:-1, 1:-1] = part
        size = np.array(self.layer.voxel_size) * factors
        corner = np.array(self.layer.offset) + self.shift + (size - self.layer.voxel_size) / 2
        return _surface(mask, size, corner + (low - 1) * size)

    def segments_of(self, ids: list[int], step: int) -> bytes:
        """The segments of fragments at a threshold, as a JSON list of texts."""
        assert self.cuts is not None
        known = np.isin(np.array(ids, np.uint64), self.cuts.fragments)
        positions = self.cuts.positions(np.where(known, np.array(ids, np.uint64), np.uint64(0)))
        return json.dumps([str(segment) for segment in self.cuts.segments(positions, step)]).encode()

    @cached_property
    def boxes(self) -> tuple[Boxes, NDArray[np.int64]]:
        """Where all ids lie in a scale of few voxels, and its factors."""
        counts = [np.prod(data.shape) for data, _ in self.layer.scales]
        scale = next((k for k, count in enumerate(counts) if count <= VOXELS), len(counts) - 1)
        data, factors = self.layer.scales[scale]
        return boxes_of(data), np.array(factors)

    def box_of(self, members: NDArray[np.uint64]) -> Box:
        """The box around some ids, in the finest voxels."""
        return Box.between(*(corner.tolist() for corner in self._box_of(members)))

    def _box_of(self, members: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The box around some ids in the finest voxels.

        Empty where none is found.
        """
        boxes, factors = self.boxes
        found = np.isin(boxes.ids, members)
        if not found.any():
            return np.zeros(3, int), np.zeros(3, int)
        margin = (factors > 1).any()  # what a coarse scale does not show may lie beside what it shows
        low, high = boxes.low[found].min(0) - margin, boxes.high[found].max(0) + margin
        return np.maximum(low * factors, 0), np.minimum(high * factors, self.layer.data.shape[-3:])

    def _finest_for(self, shape: NDArray[np.int64]) -> int:
        scales = self.layer.scales
        fits = (k for k, (_, factors) in enumerate(scales) if np.prod(-(-shape // factors)) <= VOXELS)
        return next(fits, len(scales) - 1)


def boxes_of(data: Any) -> Boxes:
    """Where each id of a volume lies but 0; read in slabs.

    Parameters
    ----------
    data : (z, y, x) array-like of ids
    """
    parts = [
        _boxes_of_runs(start, runs, data.shape) for start, runs in _slabs(data, np.zeros(3, int), np.array(data.shape))
    ]
    return _joined(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _boxes_of_runs(start: int, runs: Runs, shape: tuple[int, ...]) -> Boxes:
    ends = np.cumsum(runs.lengths)
    first, last = ends - runs.lengths, ends - 1
    rows, lasts = first // shape[2], last // shape[2]
    one_row = rows == lasts
    columns = np.where(one_row, first % shape[2], 0), np.where(one_row, last % shape[2], shape[2] - 1)
    # a run over several rows of one section may go on in another one
    one_section = rows // shape[1] == lasts // shape[1]
    low_y = np.where(one_section, rows % shape[1], 0)
    high_y = np.where(one_section, lasts % shape[1], shape[1] - 1)
    low = np.stack([start + rows // shape[1], low_y, columns[0]], 1)
    high = np.stack([start + lasts // shape[1], high_y, columns[1]], 1) + 1
    kept = runs.ids != 0
    return _joined(runs.ids[kept], low[kept], high[kept], runs.lengths[kept])


def _joined(
    ids: NDArray[np.uint64], low: NDArray[np.int64], high: NDArray[np.int64], counts: NDArray[np.int64]
) -> Boxes:
    """One box for each id."""
    order = np.argsort(ids, kind="stable")
    names, starts = np.unique(ids[order], return_index=True)
    if not len(names):
        return Boxes(names, low[:0], high[:0], counts[:0])
    low, high = np.minimum.reduceat(low[order], starts), np.maximum.reduceat(high[order], starts)
    return Boxes(names, low, high, np.add.reduceat(counts[order], starts))


def _slabs(data: Any, low: NDArray[np.int64], high: NDArray[np.int64]) -> Iterator[tuple[int, Runs]]:
    """The runs of ids in a box, some sections at a time, after the first of these."""
    for start in range(int(low[0]), int(high[0]), SLAB):
        ends = (start, *low[1:]), (min(start + SLAB, high[0]), *high[1:])
        values = np.asarray(data[tuple(slice(int(a), int(b)) for a, b in zip(*ends, strict=True))])
        yield start, runs_of(values.astype(np.uint64, copy=False))


def _surface(mask: NDArray[np.uint8], size: NDArray[np.float64], low: NDArray[np.float64]) -> bytes:
    """The surface of a mask (z, y, x), in nm.

    The middle of its first voxel lies at `low`.
    """
    from neuroglancer._neuroglancer import OnDemandObjectMeshGenerator

    # without simplification, which takes 25 s for a box of 256³ instead of 0.4 s
    places = (low / size)[::-1].tolist()
    made = OnDemandObjectMeshGenerator(mask, size[::-1].tolist(), places, max_quadrics_error=-1.0)
    found: bytes | None = made.get_mesh(1)
    return np.uint32(0).tobytes() if found is None else found
