"""Where one volume lies in another, by their offsets and voxel sizes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.space import Box, Lengths, Triple, triple
from clew.volumes.volume import Volume

SAME = 0.01
"""Share of a voxel; smaller differences of offsets and voxel sizes come from how files round them."""


def voxels_apart(outer: Volume, part: Volume) -> Lengths:
    """Voxels (z, y, x) of `outer` from its first voxel to that of another volume.

    They follow from the offsets of both.
    """
    return triple((p - o) / size for p, o, size in zip(part.offset, outer.offset, outer.voxel_size, strict=True))


def offset_of(volume: Volume, voxel: Triple) -> Lengths:
    """Where a voxel (z, y, x) of a volume lies, in nm."""
    return triple(o + s * at for o, s, at in zip(volume.offset, volume.voxel_size, voxel, strict=True))


def check_voxel_sizes(outer: Volume, part: Volume) -> None:
    """Refuse volumes that belong together and have voxels of different sizes."""
    if any(abs(p - o) > SAME * o for p, o in zip(part.voxel_size, outer.voxel_size, strict=True)):
        raise InputError(
            f"{part.source} has voxels of {part.voxel_size} nm, {outer.source} of {outer.voxel_size} nm: "
            "volumes that belong together need one size; write the right one with clew convert --voxel-size"
        )


def box_in(outer: Volume, part: Volume) -> Box:
    """The box of one volume (z, y, x), in its voxels, that another one covers.

    The box may leave the volume.

    Volumes of one shape lie on each other, whatever their offsets say.

    Raises
    ------
    InputError
        For volumes that have channels or voxels of different sizes, and where no voxel of one is a voxel of the other.
    """
    for volume in (outer, part):
        if volume.ndim != 3:
            raise InputError(f"{volume.source} must be one volume (z, y, x), not of shape {volume.shape}")
    check_voxel_sizes(outer, part)
    if part.shape == outer.shape:
        return Box.whole(outer.shape)
    apart = voxels_apart(outer, part)
    start = triple(map(round, apart))
    if any(abs(exact - whole) >= SAME for exact, whole in zip(apart, start, strict=True)):
        raise InputError(
            f"{part.source} (offset {part.offset} nm) begins {triple(round(step, 2) for step in apart)} voxels "
            f"from {outer.source} (offset {outer.offset} nm), which is not a whole number of voxels; "
            "write the right offset with clew convert --offset"
        )
    return Box.whole(part.shape).shifted(start)


def box_inside(outer: Volume, part: Volume) -> Box:
    """The box of one volume, in its voxels, that another one covers.

    No voxel of the box lies outside of the volume.

    Raises
    ------
    InputError
        As `box_in`, and where some of the other volume lies outside.
    """
    box = box_in(outer, part)
    if not box.lies_in(Box.whole(outer.shape)):
        turned = ": the axes look transposed" if sorted(part.shape) == sorted(outer.shape) else ""
        raise InputError(
            f"{part.source} (shape {part.shape}, offset {part.offset} nm) does not lie inside {outer.source} "
            f"(shape {outer.shape}, offset {outer.offset} nm){turned}; correct its shape, or its offset with "
            "clew convert --offset"
        )
    return box


def embed(values: NDArray[Any], part: Box, box: Box) -> NDArray[Any]:
    """Cut a box from values that fill another box of the same volume, with 0 around.

    Equal boxes are not copied.
    """
    if part == box:
        return values
    both = part.overlap(box)
    filled = np.zeros(box.shape, values.dtype)
    filled[both.within(box)] = values[both.within(part)]
    return filled
