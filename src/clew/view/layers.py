"""What the viewer shows: arrays at several scales, and how to look at each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.grey import percentiles, sample_pieces, without_padding
from clew.proofreading.corrections import Segments
from clew.segmentation.agglomeration import MergeTree

Kind = Literal["image", "segmentation", "affinities"]
COLOURS = 3
"""Affinity channels that are shown, as red, green and blue."""
SHOWABLE = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32")


class Editor(Protocol):
    """What corrects segments, at voxels (z, y, x): `clew.Edits`."""

    tree: MergeTree
    threshold: float

    def segments(self) -> Segments:
        """What hangs together now."""

    def read_fragments(self, box: Sequence[slice]) -> NDArray[np.uint64]:
        """The fragments in a box (z, y, x), with the pieces of those that were divided."""

    def merge(self, one: Sequence[int], other: Sequence[int]) -> int:
        """Join the segments at two voxels."""

    def split(self, sources: Sequence[Sequence[int]], sinks: Sequence[Sequence[int]]) -> int:
        """Cut a segment between two groups of voxels."""

    def undo(self) -> int:
        """Take the latest edit back."""

    def redo(self) -> int:
        """Do again what was taken back last."""

    def mark_seen(self, one: Sequence[int], other: Sequence[int]) -> int:
        """Note that the contact of the fragments at two voxels was looked at."""

    def mark_done(self, voxel: Sequence[int], *, done: bool) -> int:
        """Note that the segment at a voxel is right, or not any more."""

    def seen(self) -> set[tuple[int, int]]:
        """The contacts that were looked at, by fragments."""

    def done(self) -> set[int]:
        """The segments that are done, by their smallest fragments."""


@dataclass(frozen=True)
class Layer:
    """An array and how to look at it.

    Parameters
    ----------
    name : str
        Name in the viewer, one for each layer.
    data : array-like
        (z, y, x), or (offset, z, y, x) for affinities; anything with shape, dtype and slicing, so that a large array
        is read only where one looks.
    kind : "image", "segmentation" or "affinities"
        Grey, coloured by id, or the first three channels as red, green and blue.
    voxel_size : sequence of 3 float
        In nm, (z, y, x).
    offset : sequence of 3 float
        Place of the first voxel in nm, (z, y, x).
    visible : bool
        Whether the layer is shown at the start.
    coarser : sequence of (array-like, (z, y, x) ints)
        Coarser scales, finest first, and how many voxels of `data` become one.
    tree : MergeTree, optional
        Of the fragments in `data`: the layer then has the threshold as an axis.
    changing : bool
        Whether the array is still being written: browsers then keep nothing of it.
    editor : Editor, optional
        Of the fragments in `data`: what is shown are segments that neuroglancer's graph tools merge and split.
    surfaces : bool
        Whether segments that are selected get one in 3D.
    """

    name: str
    data: Any
    kind: Kind
    voxel_size: Sequence[float]
    offset: Sequence[float] = (0.0, 0.0, 0.0)
    visible: bool = True
    coarser: Sequence[tuple[Any, Sequence[int]]] = ()
    tree: MergeTree | None = None
    changing: bool = False
    editor: Editor | None = None
    surfaces: bool = True

    @property
    def scales(self) -> list[tuple[Any, Sequence[int]]]:
        """All scales, finest first."""
        return [(self.data, (1, 1, 1)), *self.coarser]


@dataclass(frozen=True)
class Mark:
    """A place to jump to.

    Parameters
    ----------
    position : sequence of 3 float
        In nm, (z, y, x).
    text : str
        What is wrong there.
    segments : sequence of int
        That are to be selected there.
    rank : int
        By which it is asked for.
    """

    position: Sequence[float]
    text: str
    segments: Sequence[int] = ()
    rank: int = 0


@dataclass(frozen=True)
class Marks:
    """A layer of places.

    Parameters
    ----------
    name : str
        Name in the viewer, one for each layer.
    colour : str
        As "#d55e00".
    marks : sequence of Mark
        In the order in which they are listed.
    """

    name: str
    colour: str
    marks: Sequence[Mark]


def check_layers(layers: Sequence[Layer]) -> None:
    """Refuse layers that cannot be shown together.

    Raises
    ------
    InputError
        If there is none, a name comes twice, or an array has the wrong number of axes.
    """
    if not layers:
        raise InputError("give at least one layer to look at; there is none")
    names = [layer.name for layer in layers]
    if len(set(names)) < len(names):
        raise InputError(f"layers must have different names, not {', '.join(names)}")
    for layer in layers:
        wanted = 4 if layer.kind == "affinities" else 3
        if len(layer.data.shape) != wanted:
            axes = "(offset, z, y, x)" if wanted == 4 else "(z, y, x)"
            raise InputError(f"layer {layer.name} ({layer.kind}) must be {axes}, not of shape {layer.data.shape}")
        if wanted == 4 and layer.data.shape[0] < COLOURS:
            raise InputError(f"layer {layer.name} must have at least 3 affinity channels, not {layer.data.shape[0]}")


def shown_dtype(dtype: Any, kind: Kind) -> np.dtype:
    """The type that the browser gets.

    Ids become unsigned integers, other numbers that it does not know float32.
    """
    dtype = np.dtype(getattr(dtype, "name", dtype))
    if kind == "segmentation" and dtype.kind == "i":
        return np.dtype(f"uint{8 * dtype.itemsize}")
    if dtype.name in SHOWABLE:
        return dtype
    return np.dtype(np.uint8 if dtype.kind == "b" else np.float32)


def contrast(data: Any) -> list[float]:
    """The grey values that are shown as black and white.

    For uint8 they are those of the type, else percentiles of a sample of the whole volume without padding.
    """
    if str(getattr(data.dtype, "name", data.dtype)) == "uint8":
        return [0, 255]
    low, high = percentiles(without_padding(list(sample_pieces(data))), 0.5, 99.5) or (0.0, 1.0)
    return [low, high if high > low else low + 1]
