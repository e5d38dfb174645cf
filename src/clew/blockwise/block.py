"""Where a block lies in its volume: the faces it shares with others, numbers of voxels in the whole volume."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clew.space import Box, Triple


@dataclass(frozen=True)
class Domain:
    """The box of a volume that is segmented; nothing outside it is looked at.

    Parameters
    ----------
    low, high : voxels (z, y, x)
        The box [low, high).
    frame : voxels (z, y, x)
        Shape of the whole volume, in which voxels are numbered (C order); less than 2⁶³ / 3 voxels.
    """

    low: Triple
    high: Triple
    frame: Triple


@dataclass(frozen=True)
class Block:
    """The voxels [low, high) of a domain, in coordinates of the whole volume."""

    low: Triple
    high: Triple
    domain: Domain

    @classmethod
    def whole(cls, shape: Triple) -> "Block":
        """A volume of this shape as the only block."""
        return cls((0, 0, 0), shape, Domain((0, 0, 0), shape, shape))

    def grown(self, below: Triple, above: Triple) -> Box:
        """The block and so many voxels more on each side, as far as the domain reaches."""
        domain = Box.between(self.domain.low, self.domain.high)
        return Box.between(self.low, self.high).grown(below, above, inside=domain)

    @property
    def owned(self) -> Box:
        """The block's own voxels."""
        return self.grown((0, 0, 0), (0, 0, 0))

    @property
    def seen(self) -> Box:
        """The own voxels and one more on the low side of each axis: every pair of neighbours is in one such box."""
        return self.grown((1, 1, 1), (0, 0, 0))

    def faces(self) -> list[tuple[int, int]]:
        """(axis, side) of all faces with something of the domain behind them; side 0 is low, 1 high."""
        low = [(axis, 0) for axis in range(3) if self.low[axis] > self.domain.low[axis]]
        high = [(axis, 1) for axis in range(3) if self.high[axis] < self.domain.high[axis]]
        return low + high

    def holds_alone(self, voxels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether no block beside this one sees these voxels, given by their number in the whole volume."""
        alone = np.ones(voxels.shape, bool)
        for axis, places in enumerate(np.unravel_index(voxels, self.domain.frame)):
            alone &= places >= self.low[axis]
            if self.high[axis] < self.domain.high[axis]:
                alone &= places < self.high[axis] - 1
        return alone


def global_numbers(numbers: np.ndarray, box: Box, frame: Triple) -> NDArray[np.int64]:
    """Numbers (C order) of voxels in the whole volume from those in a box; their order stays."""
    places = np.unravel_index(numbers.astype(np.int64), box.shape)
    result = np.zeros(numbers.shape, np.int64)
    for place, axis, length in zip(places, box, frame, strict=True):
        result *= length
        result += place + axis.start
    return result


def plane_of(values: np.ndarray, axis: int, side: int) -> np.ndarray:
    """The first (side 0) or last (1) plane of an array along an axis, a view."""
    selection: list[slice | int] = [slice(None)] * values.ndim
    selection[axis] = -side
    return values[tuple(selection)]
