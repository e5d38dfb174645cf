"""What a person should know of a volume before using it, though it can be read."""

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clew.volumes.volume import Volume

SMALLEST, LARGEST = 0.1, 10_000.0
"""Voxels of electron microscopy are of this size, in nm."""
RATIO = 100
"""Sections are at most so many times thicker than pixels."""
REVERSED = 1.5
"""Pixels that are so many times larger than the sections are thick: probably x and z were exchanged."""


def volume_warnings(volume: "Volume") -> list[str]:
    """What is strange about a volume, a sentence each; nothing of it is read.

    Parameters
    ----------
    volume : Volume

    Returns
    -------
    list of str
        What its format noticed, files that are missing, sizes that no microscope gives.
    """
    return [*volume.noticed, *_missing(volume), *_sizes(volume), *_reversed(volume)]


def _missing(volume: "Volume") -> Iterator[str]:
    found = None if volume.pieces is None else volume.pieces.missing()
    if found is None or not found.lost:
        return
    sample = "" if found.looked_at == found.all else f" (of {found.all:,}, so many were looked for)"
    yield f"{found.lost:,} of {found.looked_at:,} {found.kind}{sample} are not stored and read as {found.fill:g}"


def _sizes(volume: "Volume") -> Iterator[str]:
    sizes = volume.voxel_size
    if min(sizes) < SMALLEST or max(sizes) > LARGEST:
        yield f"the voxel size {_text(sizes, ' × ')} nm is not that of an electron microscope; {_mend(volume)} z,y,x in nm"
    elif max(sizes) > RATIO * min(sizes):
        yield f"the voxel size {_text(sizes, ' × ')} nm differs more than 1 : {RATIO} between axes; {_mend(volume)} z,y,x in nm"


def _reversed(volume: "Volume") -> Iterator[str]:
    z, _, x = volume.voxel_size
    if x < REVERSED * z:
        return
    place = f" --offset {_text(volume.offset[::-1], ',')}" if any(volume.offset) else ""
    axes = ""
    if volume.voxel_size_source.startswith("attribute") and volume.shape[-1] < volume.shape[-3]:
        axes = "give the array the attribute axis_names = ['x', 'y', 'z'] if its axes are in that order, too; if only the size is: "
    yield (
        f"the voxel size {_text(volume.voxel_size, ' × ')} nm (z, y, x) looks as if it was written x, y, z: sections thinner "
        f"than pixels; {axes or 'if so: '}{_mend(volume)} {_text(volume.voxel_size[::-1], ',')}{place}"
    )


def _mend(volume: "Volume") -> str:
    return f"clew convert {shlex.quote(volume.source)} OUT.zarr --voxel-size"


def _text(values: Sequence[float], between: str) -> str:
    return between.join(f"{value:g}" for value in values)
