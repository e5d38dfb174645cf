"""Where things lie: triples (z, y, x), boxes of voxels, nearest offsets."""

import re
from collections.abc import Iterable, Sequence
from itertools import product
from math import prod
from typing import NamedTuple, TypeVar

from clew.errors import InputError

Triple = tuple[int, int, int]
"""Voxels, or how many of something, along z, y, x."""
Lengths = tuple[float, float, float]
"""Lengths along z, y, x, in nm where no other unit is named."""
TOPOLOGY_BORDER = 20.0
"""Distance in nm from borders between neurons at which their exact place no longer counts."""
THIN = 100.0
"""Calibre in nm below which a neurite is thin."""
NEAREST_OFFSETS: tuple[Triple, ...] = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))
"""Offsets of the affinities that fragments are made of: to the neighbour before each voxel, along each axis."""

Number = TypeVar("Number")
_PART = re.compile(r"\s*(\d*)\s*:\s*(\d*)\s*")


def triple(values: Iterable[Number]) -> tuple[Number, Number, Number]:
    """Three values along z, y, x as a tuple of three, which type checkers can count."""
    z, y, x = values
    return z, y, x


class Box(NamedTuple):
    """The voxels from a low corner up to, but without, a high corner.

    It indexes arrays: `values[box]`.

    Parameters
    ----------
    z, y, x : slice
        With both ends, in steps of 1.
    """

    z: slice
    y: slice
    x: slice

    @classmethod
    def between(cls, low: Iterable[int], high: Iterable[int]) -> "Box":
        """The voxels from `low` (z, y, x) on to before `high`."""
        return cls(*(slice(start, stop) for start, stop in zip(low, high, strict=True)))

    @classmethod
    def whole(cls, shape: Sequence[int]) -> "Box":
        """All voxels of a volume, of which `shape` has the axes z, y, x last."""
        return cls.between((0, 0, 0), shape[-3:])

    @classmethod
    def tile(cls, place: Iterable[int], shape: Sequence[int]) -> "Box":
        """The box at an index (z, y, x) among boxes of one shape side by side.

        The first of them begins at voxel 0.
        """
        return cls.whole((1, 1, 1)).shifted(place).scaled(shape)

    @classmethod
    def parse(cls, text: str | None, shape: Sequence[int]) -> "Box":
        """The box written as `z0:z1,y0:y1,x0:x1`, in a volume of the given shape.

        It is the whole volume where there is no text.

        Raises
        ------
        InputError
            For text that is no box, and for a box that is empty or leaves the volume. Ends may be left out, as in Python.
        """
        parts = (text or ":,:,:").split(",")
        found = [match for match in map(_PART.fullmatch, parts) if match]
        if not len(parts) == len(found) == 3:
            raise InputError(f"a box is z0:z1,y0:y1,x0:x1 in voxels (for example 0:100,:,50:), not {text!r}")
        box = cls(*(slice(int(m[1] or 0), int(m[2] or size)) for m, size in zip(found, shape[-3:], strict=True)))
        if not box.lies_in(cls.whole(shape)):
            raise InputError(f"the box {text!r} is empty or leaves the volume of shape {tuple(shape[-3:])}")
        return box

    def __str__(self) -> str:
        return ",".join(f"{axis.start}:{axis.stop}" for axis in self)

    @property
    def low(self) -> Triple:
        """First voxel along z, y, x."""
        return triple(axis.start for axis in self)

    @property
    def high(self) -> Triple:
        """The voxel after the last, along z, y, x."""
        return triple(axis.stop for axis in self)

    @property
    def shape(self) -> Triple:
        """Voxels along z, y, x."""
        return triple(axis.stop - axis.start for axis in self)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return prod(self.shape)

    def voxels(self) -> list[Triple]:
        """All voxels as (z, y, x), those along x first."""
        z, y, x = (range(axis.start, axis.stop) for axis in self)
        return list(product(z, y, x))

    def lies_in(self, outer: "Box") -> bool:
        """Whether the box holds voxels, and none outside another box."""
        return all(o.start <= axis.start < axis.stop <= o.stop for axis, o in zip(self, outer, strict=True))

    def grown(self, below: Iterable[int], above: Iterable[int], inside: "Box | None" = None) -> "Box":
        """The box with more voxels at its low and high ends.

        It grows only as far as another box reaches.
        """
        low = (start - more for start, more in zip(self.low, below, strict=True))
        high = (stop + more for stop, more in zip(self.high, above, strict=True))
        box = Box.between(low, high)
        return box if inside is None else box.overlap(inside)

    def shifted(self, by: Iterable[int]) -> "Box":
        """The box moved by (z, y, x) voxels."""
        return Box(*(slice(axis.start + step, axis.stop + step) for axis, step in zip(self, by, strict=True)))

    def within(self, outer: "Box") -> "Box":
        """The same voxels, counted from the low corner of another box."""
        return self.shifted(-start for start in outer.low)

    def scaled(self, factors: Iterable[int]) -> "Box":
        """The box in smaller voxels, (z, y, x) of which fill one voxel."""
        return Box(*(slice(a.start * size, a.stop * size) for a, size in zip(self, factors, strict=True)))

    def middle(self, shape: Sequence[int]) -> "Box":
        """The part of this shape (z, y, x) in the middle.

        Of an odd rest the smaller half lies before it.
        """
        low = (start + (have - want) // 2 for start, have, want in zip(self.low, self.shape, shape, strict=True))
        return Box.whole(shape).shifted(low)

    def overlap(self, other: "Box") -> "Box":
        """The voxels that lie in both; of shape 0 along the axes where there are none."""
        low = triple(map(max, self.low, other.low))
        high = map(min, self.high, other.high)
        return Box.between(low, map(max, low, high))
