"""Where one volume lies in another, by their offsets and voxel sizes."""

import shlex
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.space import Box, Lengths, Triple, triple
from clew.volumes.volume import Volume

SAME = 0.01
"""Share of a voxel; smaller differences of offsets and voxel sizes come from how files round them."""


class Place(NamedTuple):
    """Where one volume lies in another.

    Parameters
    ----------
    box : Box
        Voxels (z, y, x) of the outer volume that the other one covers; it may leave the volume.
    notes : tuple of str
        What a person should know about it, a sentence each.
    """

    box: Box
    notes: tuple[str, ...] = ()


class Overlap(NamedTuple):
    """The voxels that two volumes share.

    Parameters
    ----------
    outer, part : Box
        Their box (z, y, x) in each of the volumes.
    notes : tuple of str
        What a person should know about it, a sentence each.
    """

    outer: Box
    part: Box
    notes: tuple[str, ...] = ()


def voxels_apart(outer: Volume, part: Volume) -> Lengths:
    """Voxels (z, y, x) of `outer` from its first voxel to that of another volume.

    They follow from the offsets of both.
    """
    return triple((p - o) / size for p, o, size in zip(part.offset, outer.offset, outer.voxel_size, strict=True))


def offset_of(volume: Volume, voxel: Triple) -> Lengths:
    """Where a voxel (z, y, x) of a volume lies, in nm."""
    return triple(o + s * at for o, s, at in zip(volume.offset, volume.voxel_size, voxel, strict=True))


def same_size(one: Lengths, other: Lengths) -> bool:
    """Whether two voxel sizes are one, but for how files round them."""
    return all(abs(a - b) <= SAME * a for a, b in zip(one, other, strict=True))


def check_voxel_sizes(outer: Volume, part: Volume) -> None:
    """Refuse volumes that belong together and have voxels of different sizes."""
    one, other = outer.voxel_size, part.voxel_size
    if same_size(one, other):
        return
    found = f"{part.source} has voxels of {_text(other)} nm (z, y, x), {outer.source} of {_text(one)} nm"
    if same_size(one, other[::-1]):
        raise InputError(f"{found}: one of them was written x, y, z; if the first: {_anew(part, 'voxel-size', one)}")
    raise InputError(
        f"{found}: volumes that belong together need one; give the scale of that size, resample it elsewhere, or, "
        f"if only the size is wrong: {_anew(part, 'voxel-size', one)}"
    )


def place_in(outer: Volume, part: Volume) -> Place:
    """Where a volume lies in another one, by voxel sizes and offsets.

    Of volumes with channels, (z, y, x) counts. Volumes of one shape lie on each other where one of them says no
    offset, and where their offsets differ by half a voxel or less.

    Raises
    ------
    InputError
        For voxels of different sizes, and where no voxel of one is a voxel of the other.
    """
    check_voxel_sizes(outer, part)
    inner, shape = triple(part.shape[-3:]), triple(outer.shape[-3:])
    if inner != shape and sorted(inner) == sorted(shape):
        raise InputError(f"{part.source} has the shape {inner}, {outer.source} {shape}: the axes look transposed; "
                         "one of them has to be written anew, as (z, y, x)")  # fmt: skip
    apart = voxels_apart(outer, part)
    start = triple(map(round, apart))
    whole = all(abs(exact - near) < SAME for exact, near in zip(apart, start, strict=True))
    unplaced = [volume.source for volume in (outer, part) if not volume.placed]
    if inner == shape and unplaced:
        return Place(Box.whole(shape), () if whole and not any(start) else (_laid(unplaced, outer, part),))
    if inner == shape and not whole and max(map(abs, apart)) <= 0.5 + SAME:
        return Place(Box.whole(shape), (f"{_between(outer, part, apart)}; they are laid on each other",))
    if not whole:
        raise InputError(f"{_between(outer, part, apart)}: {_moved(outer, part, apart)}")
    notes = [f"{source} does not say where it lies: its offset is taken to be 0" for source in unplaced]
    return Place(Box.whole(inner).shifted(start), tuple(notes))


def overlap_of(outer: Volume, part: Volume) -> Overlap:
    """The voxels that two volumes (z, y, x) share, by voxel sizes and offsets.

    Raises
    ------
    InputError
        As `place_in`; for volumes that have channels, or share no voxel.
    """
    for volume in (outer, part):
        if volume.ndim != 3:
            raise InputError(f"{volume.source} must be one volume (z, y, x), not of shape {volume.shape}")
    box, notes = place_in(outer, part)
    both = box.overlap(Box.whole(outer.shape))
    if not both.size:
        raise InputError(f"{part.source} {_where(part)} and {outer.source} {_where(outer)} share no voxel; if an offset is "
                         f"wrong: {_anew(part, 'offset', outer.offset)}")  # fmt: skip
    if both not in (box, Box.whole(outer.shape)):
        notes = (*notes, f"only {both.size / box.size:.0%} of {part.source} lie in {outer.source}, by their offsets: "
                         f"its voxels {both.within(box)}")  # fmt: skip
    return Overlap(both, both.within(box), notes)


def box_inside(outer: Volume, part: Volume) -> Place:
    """Where a volume lies that must be covered by another one, wholly.

    Raises
    ------
    InputError
        As `place_in`, and where some of it lies outside.
    """
    place = place_in(outer, part)
    if not place.box.lies_in(Box.whole(outer.shape)):
        smaller = any(size < wanted for size, wanted in zip(outer.shape, part.shape[-3:], strict=True))
        mend = f"correct its shape, or its offset: {_anew(outer, 'offset', part.offset)}"
        raise InputError(
            f"{outer.source} {_where(outer)} does not cover {part.source} {_where(part)}; "
            + ("it is smaller: make one that covers it wholly" if smaller else mend)
        )
    return place


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


def _laid(unplaced: Sequence[str], outer: Volume, part: Volume) -> str:
    known = next(volume for volume in (outer, part) if volume.source not in unplaced[:1])
    return (f"{unplaced[0]} does not say where it lies; having the shape of {known.source} (offset {_text(known.offset)} nm), "
            "it is laid on it")  # fmt: skip


def _between(outer: Volume, part: Volume, apart: Lengths) -> str:
    """That the voxels of two volumes do not coincide."""
    return (f"{part.source} (offset {_text(part.offset)} nm) begins ({_text(apart)}) voxels from {outer.source} (offset "
            f"{_text(outer.offset)} nm), which is not a whole number of voxels{_convention(apart)}")  # fmt: skip


def _convention(apart: Lengths) -> str:
    """What half a voxel, or half a voxel less half a finer one, comes from."""
    usual = (0.0, 0.5, 1 / 3, *(0.5 - 0.5 / factor for factor in (2, 4, 8, 16, 32, 64)))
    rests = [abs(step - round(step)) for step in apart]
    if all(any(abs(rest - share) < SAME for share in usual) for rest in rests):
        return ", but what formats differ by: some give the corner of the first voxel, clew its middle"
    return ""


def _moved(outer: Volume, part: Volume, apart: Lengths) -> str:
    """How to write the offset of the part anew, moved by the rest to the next voxel."""
    rest = triple((step - round(step)) * size for step, size in zip(apart, outer.voxel_size, strict=True))
    one = triple(o - r for o, r in zip(part.offset, rest, strict=True))
    return f"if the first is wrong: {_anew(part, 'offset', one)}"


def _where(volume: Volume) -> str:
    return f"(shape {triple(volume.shape[-3:])}, offset {_text(volume.offset)} nm)"


def _anew(volume: Volume, option: str, values: Lengths) -> str:
    """The command that writes a volume with another size or place."""
    return f"clew convert {shlex.quote(volume.source)} OUT.zarr --{option}={_text(values, ',')}"


def _text(values: Sequence[float], between: str = ", ") -> str:
    return between.join(f"{round(value, 3):.12g}" for value in values)
