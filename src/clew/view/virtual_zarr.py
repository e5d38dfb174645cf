"""Layers as OME-Zarr that exists only while it is read.

Documents and chunks are made as any reader of zarr 3 asks for them.
Segments of a merge tree have the threshold as their first axis, t, in hundredths: a chunk is made by looking its fragments up.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from clew.view.cuts import STEPS, Cuts, runs_of
from clew.view.layers import COLOURS, Layer, shown_dtype

CHUNK = 64
"""Edge of a chunk in voxels."""
KEPT_CHUNKS = 512
"""Chunks of fragments whose runs are kept, of 0.1 to 0.3 MB each: another threshold reads nothing."""
SPACE = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]


class VirtualZarr:
    """One layer as OME-Zarr 0.5.

    Parameters
    ----------
    layer : Layer
    shift : (z, y, x) floats
        In nm, added to the place of the layer.
    cuts : Cuts, optional
        Of the layer's merge tree.
    """

    def __init__(self, layer: Layer, shift: Sequence[float], cuts: Cuts | None = None) -> None:
        self.layer, self.shift, self.cuts = layer, shift, cuts
        self.dtype = shown_dtype(layer.data.dtype, layer.kind) if cuts is None else cuts.dtype
        first = {"affinities": (COLOURS,)}.get(layer.kind, ()) if cuts is None else (STEPS + 1,)
        self.shapes = [(*first, *data.shape[-3:]) for data, _ in layer.scales]
        self.chunk_shape = (*(first if cuts is None else (1,)), CHUNK, CHUNK, CHUNK)
        self._runs = lru_cache(KEPT_CHUNKS)(self._read_runs)

    def group(self) -> bytes:
        """The document of the group."""
        axes = {"affinities": [{"name": "c", "type": "channel"}]}.get(self.layer.kind, [])
        axes = axes if self.cuts is None else [{"name": "t", "type": "threshold"}]
        scales = [
            {"path": f"s{k}", "coordinateTransformations": self._place(k, len(axes))} for k in range(len(self.shapes))
        ]
        ome: dict[str, Any] = {"version": "0.5", "multiscales": [{"axes": [*axes, *SPACE], "datasets": scales}]}
        if self.layer.kind == "segmentation":
            ome["image-label"] = {"version": "0.5"}
        return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}).encode()

    def array(self, scale: int) -> bytes:
        """The document of one scale."""
        return json.dumps(
            {
                "zarr_format": 3,
                "node_type": "array",
                "shape": self.shapes[scale],
                "data_type": self.dtype.name,
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": self.chunk_shape}},
                "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
                "fill_value": 0,
                "codecs": [
                    {"name": "bytes", "configuration": {"endian": "little"}},
                    {"name": "zstd", "configuration": {"level": 1, "checksum": False}},
                ],
                "attributes": {},
            }
        ).encode()

    def chunk(self, scale: int, place: tuple[int, ...]) -> bytes | None:
        """One chunk, encoded; None where there is none of this number."""
        shape = self.shapes[scale]
        if len(place) != len(shape) or any(
            n * c >= end for n, c, end in zip(place, self.chunk_shape, shape, strict=True)
        ):
            return None
        values = np.zeros(self.chunk_shape, self.dtype.newbyteorder("<"))
        part = self._plain(scale, place) if self.cuts is None else self._segments(scale, place)
        values[tuple(slice(0, n) for n in part.shape)] = part
        return bytes(imagecodecs.zstd_encode(values.tobytes(), 1))

    def _place(self, scale: int, more: int) -> list[dict[str, Any]]:
        """Voxel size and place of the middle of the first voxel, of a scale."""
        fine, factors = self.layer.voxel_size, self.layer.scales[scale][1]
        size = [step * factor for step, factor in zip(fine, factors, strict=True)]
        lows = zip(self.layer.offset, self.shift, fine, factors, strict=True)
        low = [offset + shift + step * (factor - 1) / 2 for offset, shift, step, factor in lows]
        first = [1.0 if self.cuts is None else 1 / STEPS] * more
        start = [each / 2 for each in first]
        return [{"type": "scale", "scale": first + size}, {"type": "translation", "translation": start + low}]

    def _plain(self, scale: int, place: tuple[int, ...]) -> NDArray[Any]:
        return np.asarray(self.layer.scales[scale][0][self._box(scale, place)]).astype(self.dtype)

    def _segments(self, scale: int, place: tuple[int, ...]) -> NDArray[Any]:
        assert self.cuts is not None
        positions, lengths, shape = self._runs(scale, place[1:])
        return np.repeat(self.cuts.segments(positions, place[0]).astype(self.dtype), lengths).reshape(1, *shape)

    def _read_runs(self, scale: int, place: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any], tuple[int, ...]]:
        """Positions and lengths of the runs of fragments in a chunk, and its shape."""
        assert self.cuts is not None
        values = np.asarray(self.layer.scales[scale][0][self._box(scale, (0, *place))[1:]])
        runs = runs_of(values.astype(np.uint64, copy=False))
        return self.cuts.positions(runs.ids), runs.lengths.astype(np.int32), values.shape

    def _box(self, scale: int, place: tuple[int, ...]) -> tuple[slice, ...]:
        sizes = zip(place, self.chunk_shape, self.shapes[scale], strict=True)
        return tuple(slice(n * c, min((n + 1) * c, end)) for n, c, end in sizes)
