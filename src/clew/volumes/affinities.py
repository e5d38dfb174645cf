"""What an affinity array records: offsets, value range, polarity."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from clew.errors import InputError
from clew.space import NEAREST_OFFSETS, Triple
from clew.volumes.volume import Volume

POLARITY = "high means the same object"


def affinity_attributes(offsets: Sequence[Sequence[int]], dtype: Any) -> dict[str, Any]:
    """Attributes to record with an affinity array.

    They are the offsets (z, y, x) of its channels in voxels, the value range and the polarity.
    """
    values = [0, 255] if np.dtype(dtype) == np.uint8 else [0.0, 1.0]
    return {
        "offsets": [[int(step) for step in offset] for offset in offsets],
        "value_range": values,
        "polarity": POLARITY,
    }


def affinity_offsets(volume: Volume) -> tuple[Triple, ...]:
    """Offsets of the channels of an affinity volume, checked.

    The three nearest neighbours come first. A volume of 3 channels that records no offsets is taken for
    (-1,0,0), (0,-1,0), (0,0,-1).

    Parameters
    ----------
    volume : Volume

    Returns
    -------
    tuple of (int, int, int)
        Voxels (z, y, x), one offset for each channel.

    Raises
    ------
    InputError
        No channels, offsets missing or not as many as channels, another order, sign or polarity.
    """
    if volume.axes != "czyx" or volume.shape[0] < 3:
        found = f"{volume.source} is ({', '.join(volume.axes)}) of shape {volume.shape}"
        raise InputError(f"affinities must be (offset, z, y, x) with 3 offsets or more; {found}")
    polarity = volume.attributes.get("polarity", POLARITY)
    if polarity != POLARITY:
        raise InputError(f"{volume.source}: affinities must have polarity {POLARITY!r}, not {polarity!r}")
    recorded = recorded_offsets(volume)
    channels = volume.shape[0]
    if recorded is None:
        if channels == 3:
            return NEAREST_OFFSETS
        raise InputError(f"{volume.source} has {channels} channels and does not record their offsets")
    if len(recorded) != channels:
        raise InputError(f"{volume.source} has {channels} channels and records {len(recorded)} offsets: {recorded}")
    if recorded[:3] != NEAREST_OFFSETS:
        raise InputError(
            f"{volume.source}: the first three offsets must be {NEAREST_OFFSETS} (z, y, x), found {recorded[:3]}; "
            "reorder the channels (and shift those of opposite sign by a voxel)"
        )
    return recorded


def recorded_offsets(volume: Volume) -> tuple[Triple, ...] | None:
    """Offsets as recorded by clew or others, None where there are none.

    The attributes are `offsets` and `neighborhood`.
    """
    for attributes in (volume.attributes, volume.metadata):
        for key in ("offsets", "neighborhood"):
            value = attributes.get(key)
            try:
                steps = [tuple(int(step) for step in offset) for offset in value or ()]
            except (TypeError, ValueError):
                continue
            if steps and all(len(offset) == 3 for offset in steps):
                return tuple((offset[0], offset[1], offset[2]) for offset in steps)
    return None
