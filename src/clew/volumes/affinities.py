"""What an affinity array records: offsets, value range, polarity."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clew.documents import brief
from clew.errors import InputError
from clew.grey import sample_pieces
from clew.space import NEAREST_OFFSETS, Triple
from clew.volumes.volume import Volume

POLARITY = "high means the same object"
OFFSETS = ("offsets", "neighborhood", "nhood", "affs_nhood")
"""Attributes in which programs record the offsets of channels."""
SCALES = (1, 100, 127, 255, 32767, 65535)
"""What programs write for an affinity of 1, where it is not said."""
LOW = 0.45
"""Below this share of affinities above a half they look inverted: within objects, most of a volume, they are high. Of noise, which
tests are made of, it is a half."""


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
        raise InputError(
            f"affinities must be (offset, z, y, x) with 3 offsets or more; {found}; maps of boundaries are not affinities"
        )
    polarity = volume.attributes.get("polarity", volume.metadata.get("polarity", POLARITY))
    if polarity != POLARITY:
        raise InputError(f"{volume.source}: affinities must have polarity {POLARITY!r}, not {polarity!r}")
    recorded = recorded_offsets(volume)
    channels = volume.shape[0]
    if recorded is None:
        unknown = [key for key in OFFSETS if volume.metadata.get(key)]
        if unknown:
            raise InputError(
                f"{volume.source}: the attribute {unknown[0]} must be offsets (z, y, x), three numbers for each channel, "
                f"not {brief(volume.metadata[unknown[0]])}"
            )
        if channels == 3:
            return NEAREST_OFFSETS
        raise InputError(f"{volume.source} has {channels} channels and does not record their offsets")
    if len(recorded) != channels:
        raise InputError(f"{volume.source} has {channels} channels and records {len(recorded)} offsets: {recorded}")
    if recorded[:3] != NEAREST_OFFSETS:
        raise InputError(
            f"{volume.source}: the first three offsets must be {NEAREST_OFFSETS} (z, y, x), found {recorded[:3]}; "
            "reorder the channels (and shift those of opposite sign by a voxel), as on the page Convert of the documentation"
        )
    return recorded


def check_affinity_values(volume: Volume) -> None:
    """Refuse values that are no affinities, by a sample.

    Nothing is read where the attributes say their range (clew's do) or polarity, or a person did (`clew convert --range`).

    Raises
    ------
    InputError
        For values that are not 0 to 255 in uint8, or 0 to 1 in floats, or are mostly low; with the command that brings them
        there.
    """
    if "value_range" in volume.attributes or "polarity" in volume.metadata or _range_was_given(volume):
        return
    if volume.dtype.kind == "b":
        raise InputError(f"{volume.source}: affinities must be uint8 or floats, not bool: {_scaled(volume, '')}")
    values = np.concatenate([piece[:3].ravel() for piece in sample_pieces(volume)])
    unreal = np.count_nonzero(~np.isfinite(values))
    if unreal:
        raise InputError(
            f"{volume.source}: affinities must be in [0, 1]; of a sample {unreal:,} of {values.size:,} are NaN or infinite; "
            f"if they lie outside of objects: {_scaled(volume, '0,1 --fill 0')}"
        )
    most, one = float(values.max()), 255 if volume.dtype == np.uint8 else 1
    wanted = next((scale for scale in SCALES if most <= scale), most)
    strange = most == 1 or one == 1 if volume.dtype.kind in "ui" else most > one
    if strange and values.min() >= 0:
        raise InputError(
            f"{volume.source}: affinities must be 0 to 255 in uint8, or 0 to 1 in floats; a sample of these {volume.dtype} "
            f"reaches {most:g}; if {wanted:g} means the same object: {_scaled(volume, f'0,{wanted:g}')}"
        )
    high = np.count_nonzero(values > one / 2) / values.size
    if high >= LOW or not most:
        return
    if wanted < one:
        mend = f"none exceeds {most:g}; if {wanted:g} means the same object: {_scaled(volume, f'0,{wanted:g}')}"
    else:
        mend = f"if 0 does, as in a map of boundaries: {_scaled(volume, f'{one},0')}; if high does, the same with --range 0,{one}"
    raise InputError(
        f"{volume.source}: only {high:.0%} of the affinities are above a half, but high must mean the same object; {mend}, or "
        f"record the attribute polarity: {POLARITY!r}"
    )


def _range_was_given(volume: Volume) -> bool:
    parameters = volume.attributes.get("parameters")
    return isinstance(parameters, Mapping) and parameters.get("range") is not None


def _scaled(volume: Volume, values: str) -> str:
    """The command that brings affinities to 0 to 255."""
    scale = f" --range {values}" if values else ""
    return f"clew convert {shlex.quote(volume.source)} OUT.zarr --dtype uint8{scale}"


def recorded_offsets(volume: Volume) -> tuple[Triple, ...] | None:
    """Offsets as recorded by clew or others, None where there are none.

    The attributes are those of `OFFSETS`, as numbers or as JSON text.
    """
    for attributes in (volume.attributes, volume.metadata):
        for key in OFFSETS:
            value: Any = attributes.get(key)
            try:
                value = json.loads(value) if isinstance(value, str) else value
                value = np.reshape(value, (-1, 3)) if np.ndim(value) == 1 else value
                steps = [tuple(int(step) for step in offset) for offset in (() if value is None else value)]
            except (TypeError, ValueError):
                continue
            if steps and all(len(offset) == 3 for offset in steps):
                return tuple((offset[0], offset[1], offset[2]) for offset in steps)
    return None
