"""Where a block lies in its volume.

The faces it shares with others, and indices of voxels in the whole volume.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clew.space import Box, Triple, triple


@dataclass(frozen=True)
class Domain:
    """The box of a volume that is segmented; nothing outside it is read.

    Parameters
    ----------
    box : Box
    frame : (z, y, x) ints
        Shape of the whole volume, of which voxels have indices (C order); less than 2⁶³ / 3 voxels.
    """

    box: Box
    frame: Triple

    @classmethod
    def whole(cls, shape: Sequence[int]) -> "Domain":
        """All of a volume, of which `shape` has the axes z, y, x last."""
        return cls(Box.whole(shape), triple(shape[-3:]))


@dataclass(frozen=True)
class Block:
    """A box of a domain, in coordinates of the whole volume, and the domain."""

    owned: Box
    domain: Domain

    @classmethod
    def whole(cls, shape: Triple) -> "Block":
        """A volume of this shape as the only block."""
        return cls(Box.whole(shape), Domain.whole(shape))

    def grown(self, below: Triple, above: Triple) -> Box:
        """The block and so many voxels more on each side, as far as the domain reaches."""
        return self.owned.grown(below, above, inside=self.domain.box)

    @property
    def seen(self) -> Box:
        """The own voxels and one more on the low side of each axis.

        Every pair of neighbours lies in one such box.
        """
        return self.grown((1, 1, 1), (0, 0, 0))

    def faces(self) -> list[tuple[int, int]]:
        """Faces (axis, side) behind which the domain goes on; side 0 is low, 1 high."""
        ends = list(zip(self.owned, self.domain.box, strict=True))
        low = [(axis, 0) for axis, (own, whole) in enumerate(ends) if own.start > whole.start]
        high = [(axis, 1) for axis, (own, whole) in enumerate(ends) if own.stop < whole.stop]
        return low + high

    def owns(self, voxels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which voxels are the block's own, by their indices in the whole volume."""
        own = np.ones(voxels.shape, bool)
        for axis, positions in zip(self.owned, np.unravel_index(voxels, self.domain.frame), strict=True):
            own &= (positions >= axis.start) & (positions < axis.stop)
        return own

    def holds_alone(self, voxels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which voxels no block beside this one sees.

        They are given by their indices in the whole volume.
        """
        alone = np.ones(voxels.shape, bool)
        for axis, positions in enumerate(np.unravel_index(voxels, self.domain.frame)):
            own = self.owned[axis]
            alone &= positions >= own.start
            if own.stop < self.domain.box[axis].stop:
                alone &= positions < own.stop - 1
        return alone


def global_indices(indices: np.ndarray, box: Box, frame: Triple) -> NDArray[np.int64]:
    """Indices (C order) of voxels in the whole volume from those in a box.

    Their order stays.
    """
    positions = np.unravel_index(indices.astype(np.int64), box.shape)
    result = np.zeros(indices.shape, np.int64)
    for position, axis, length in zip(positions, box, frame, strict=True):
        result *= length
        result += position + axis.start
    return result


def plane_of(values: np.ndarray, axis: int, side: int) -> np.ndarray:
    """The first (side 0) or last (1) plane of an array along an axis, a view."""
    selection: list[slice | int] = [slice(None)] * values.ndim
    selection[axis] = -side
    return values[tuple(selection)]
