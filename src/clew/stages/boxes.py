"""Boxes of voxels written as text: `z0:z1,y0:y1,x0:x1`."""

import re

from clew.errors import InputError

Box = tuple[slice, slice, slice]
PART = re.compile(r"\s*(\d*)\s*:\s*(\d*)\s*")


def parse_box(text: str | None, shape: tuple[int, ...]) -> Box:
    """Slices (z, y, x) of a box inside a volume of the given shape; everything where there is no text.

    Each end may be left out, as in Python; an InputError for anything else, or for a box that leaves the volume.
    """
    parts = (text or ":,:,:").split(",")
    found = [PART.fullmatch(part) for part in parts]
    if len(parts) != 3 or not all(found):
        raise InputError(f"a box is z0:z1,y0:y1,x0:x1 in voxels (for example 0:100,:,50:), not {text!r}")
    slices = []
    for match, size in zip(found, shape[-3:], strict=True):
        assert match is not None
        start, stop = int(match[1] or 0), int(match[2] or size)
        if not 0 <= start < stop <= size:
            raise InputError(f"the box {text!r} is empty or leaves the volume of shape {tuple(shape[-3:])}")
        slices.append(slice(start, stop))
    return slices[0], slices[1], slices[2]


def shift_box(box: Box, origin: Box) -> Box:
    """A box relative to the start of another."""
    z, y, x = (slice(b.start - o.start, b.stop - o.start) for b, o in zip(box, origin, strict=True))
    return z, y, x
