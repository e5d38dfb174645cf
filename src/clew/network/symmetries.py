"""Mirrors and transposes of a volume for test-time augmentation.

Each knows what it does to affinities.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from clew.errors import InputError
from clew.network.options import TestTimeAugmentation
from clew.space import Box, Lengths, Triple, triple

Read = Callable[[Box], NDArray[np.uint8]]

EQUAL_VOXELS = 0.01
"""Axes whose voxel sizes differ by less than this share are exchanged by transposes."""


@dataclass(frozen=True)
class Symmetry:
    """A volume seen with its axes permuted and then mirrored.

    Parameters
    ----------
    order : (int, int, int)
        Axis of the volume behind each axis of what is seen.
    mirrored : (bool, bool, bool)
        Whether each axis of what is seen is mirrored.
    """

    order: Triple = (0, 1, 2)
    mirrored: tuple[bool, bool, bool] = (False, False, False)

    def see_shape(self, shape: Triple) -> Triple:
        """Shape of what is seen of a volume."""
        return triple(shape[axis] for axis in self.order)

    def see_box(self, box: Box, shape: Triple) -> Box:
        """Where a box of a volume is seen; it may leave the volume by a few voxels."""
        return Box(*(_mirror(box[axis], shape[axis]) if m else box[axis] for axis, m in self._axes()))

    def see_through(self, read: Read, shape: Triple) -> Read:
        """Make a reader of boxes of what is seen from a reader of the volume."""

        def read_seen(box: Box) -> NDArray[np.uint8]:
            parts = self._mirror_box(box, shape)
            seen = read(Box(*(parts[self.order.index(axis)] for axis in range(3)))).transpose(self.order)
            return np.flip(seen, tuple(axis for axis in range(3) if self.mirrored[axis]))

        return read_seen

    def widen(self, box: Box) -> Box:
        """Widen a box to the voxels that must be seen for its affinities.

        The voxel before v holds a mirrored pair (v, v - 1).
        """
        mirrored = dict(self._axes())
        return box.grown([int(mirrored[axis]) for axis in range(3)], (0, 0, 0))

    def restore(self, affinities: torch.Tensor) -> torch.Tensor:
        """Affinities (3, z, y, x) of a box from those seen of the widened box.

        Channels, in and out, are for the offsets -1 along each axis.
        """
        back = [self.order.index(axis) for axis in range(3)]
        seen = affinities.flip([axis + 1 for axis in range(3) if self.mirrored[axis]])
        wide = seen[back].permute(0, *(axis + 1 for axis in back))
        mirrored = dict(self._axes())
        return torch.stack([wide[channel][_shift(mirrored, channel)] for channel in range(3)])

    def _axes(self) -> list[tuple[int, bool]]:
        """(axis of the volume, whether it is mirrored) for each axis of what is seen."""
        return list(zip(self.order, self.mirrored, strict=True))

    def _mirror_box(self, box: Box, shape: Triple) -> list[slice]:
        seen = self.see_shape(shape)
        return [_mirror(box[axis], seen[axis]) if self.mirrored[axis] else box[axis] for axis in range(3)]


def symmetries(augmentation: TestTimeAugmentation, voxel_size: Lengths | None = None) -> list[Symmetry]:
    """The symmetries to average over.

    `none` is the identity alone, `flips` the 8 mirrors, and `all` the mirrors of every exchange of equally long axes:
    48 for isotropic voxels, 16 where only y and x are equal. `all` is refused where the voxel size is not given.
    """
    if augmentation == "none":
        return [Symmetry()]
    mirrors = [(z, y, x) for z, y, x in itertools.product((False, True), repeat=3)]
    orders = [Symmetry().order] if augmentation == "flips" else _exchanges(voxel_size)
    return [Symmetry(order, mirrored) for order in orders for mirrored in mirrors]


def _exchanges(voxel_size: Lengths | None) -> list[Triple]:
    """The orders of the axes that leave the voxels as long along each axis.

    The first is z, y, x.
    """
    if voxel_size is None:
        raise InputError(
            "test-time augmentation all exchanges axes of equal voxel size only: give voxel_size (z, y, x) in nm"
        )
    size = voxel_size
    return [
        (z, y, x)
        for z, y, x in itertools.permutations(range(3))
        if all(abs(size[seen] - size[axis]) <= EQUAL_VOXELS * size[axis] for axis, seen in enumerate((z, y, x)))
    ]


def _mirror(part: slice, size: int) -> slice:
    return slice(size - part.stop, size - part.start)


def _shift(mirrored: dict[int, bool], channel: int) -> Box:
    """The part of a widened box that holds a channel.

    It lies one voxel earlier where the channel's own axis is mirrored.
    """
    return Box(
        *((slice(0, -1) if axis == channel else slice(1, None)) if mirrored[axis] else slice(None) for axis in range(3))
    )
