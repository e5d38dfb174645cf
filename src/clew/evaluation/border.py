"""Voxels near a border of the truth, left out of the scores as the CREMI challenge does."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.evaluation._labels import Labels, as_labels
from clew.kernels.border import clear_near_borders, measure_rows


def mask_borders(truth: Any, voxel_size: Sequence[float], distance: float = 25.0) -> Labels:
    """Set the voxels near a label border to 0, section by section.

    A border pixel is one with a 4-neighbour of another label (0 included); every pixel within `distance` of one is
    cleared, measured between pixel centres in the section. Exact at block borders with a context of `distance` plus one
    pixel.

    Parameters
    ----------
    truth
        (z, y, x) whole numbers.
    voxel_size
        (z, y, x) in nm. Pixels need not be square.
    distance
        In nm; CREMI uses 25.

    Returns
    -------
    (z, y, x) uint64

    Raises
    ------
    InputError
        If labels are negative or not whole numbers, the voxel size is not three positive numbers or the distance is
        negative.
    """
    volume = as_labels(truth, "truth")
    size = np.asarray(voxel_size, dtype=np.float64)
    if size.shape != (3,) or not np.all(np.isfinite(size) & (size > 0)):
        raise InputError(f"voxel_size must be three positive numbers (z, y, x) in nm, not {voxel_size!r}")
    if not 0 <= distance < np.inf:
        raise InputError(f"distance must be 0 nm or more, not {distance}")
    result = np.empty_like(volume)
    _, height, width = volume.shape
    reach = _reach(height, width, size, distance)
    rows = np.empty((height, width), np.int32)
    marks, changes = np.empty(width, np.uint8), np.empty(width + 1, np.int32)
    for section, cleared in zip(volume, result, strict=True):
        measure_rows(section, marks, rows)
        clear_near_borders(section, rows, reach, changes, cleared)
    return result


def _reach(height: int, width: int, size: NDArray[np.float64], distance: float) -> NDArray[np.int64]:
    """Columns that a border pixel reaches, by the rows between; -1 where it is too far."""
    down, across = np.arange(height) * size[1], np.arange(width) * size[2]
    return np.searchsorted(across**2, distance**2 - down**2, side="right") - 1
