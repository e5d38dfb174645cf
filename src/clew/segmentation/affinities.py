"""Affinities as the segmentation wants them: checked once, then bytes."""

import numpy as np

from clew.arrays import as_array
from clew.errors import InputError
from clew.kernels.quantise import quantise_values
from clew.space import NEAREST_OFFSETS


def quantise(affinities: np.ndarray) -> np.ndarray:
    """Turn the three nearest-neighbour channels into uint8: round(255 · affinity).

    Bytes are taken as they are.

    Parameters
    ----------
    affinities : (offset, z, y, x) uint8 or float in [0, 1]
        The first three channels belong to the offsets (-1, 0, 0), (0, -1, 0), (0, 0, -1).

    Returns
    -------
    (3, z, y, x) uint8
        A view of the input where that is possible.

    Raises
    ------
    InputError
        For a wrong number of axes or channels, an empty volume, another dtype, and NaN, infinite values or values outside
        [0, 1] in the three channels.
    """
    affinities = as_array(affinities, "affinities")
    _check_layout(affinities)
    nearest = affinities[:3]
    if nearest.dtype == np.uint8:
        return np.ascontiguousarray(nearest)
    levels = np.empty(nearest.shape, np.uint8)
    for channel, out in zip(nearest, levels, strict=True):
        bad = sum(quantise_values(_flat(plane), row.reshape(-1)) for plane, row in zip(channel, out, strict=True))
        if bad:
            raise InputError(_value_message(channel))
    return levels


def _flat(plane: np.ndarray) -> np.ndarray:
    wanted = np.float64 if plane.dtype == np.float64 else np.float32
    return np.ascontiguousarray(plane, dtype=wanted).reshape(-1)


def _check_layout(affinities: np.ndarray) -> None:
    if affinities.ndim != 4:
        raise InputError(f"affinities must be (offset, z, y, x), not of shape {affinities.shape}")
    if affinities.shape[0] < 3:
        raise InputError(
            f"affinities must have at least 3 channels for the offsets {NEAREST_OFFSETS}, not {affinities.shape[0]}"
        )
    if affinities.size == 0:
        raise InputError(f"affinities hold no voxel: their shape is {affinities.shape}")
    if affinities.dtype != np.uint8 and not np.issubdtype(affinities.dtype, np.floating):
        raise InputError(f"affinities must be uint8 (0..255) or floats in [0, 1], not {affinities.dtype}")


def _value_message(channel: np.ndarray) -> str:
    unreal = channel.size - int(np.count_nonzero(np.isfinite(channel)))
    if unreal:
        return f"affinities must be in [0, 1]: {unreal} values of a channel are NaN or infinite (clew convert --fill 0)"
    return (
        f"affinities must be in [0, 1]: a channel reaches from {channel.min():.6g} to {channel.max():.6g}"
        " (divide by 255, or apply the sigmoid, first)"
    )
